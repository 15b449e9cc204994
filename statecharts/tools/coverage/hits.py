"""What instances of charts did while tests ran, counted. Processes hand these counts to each other, and add them up."""

import json
from collections import Counter
from typing import Literal, NamedTuple, TypeAlias

Kind = Literal["taken", "held", "refused", "unmoved"]
"""A transition was taken; its guard held; its guard refused; an event moved nothing."""


class Hit(NamedTuple):
    """*what*: a transition by its name in `statecharts.tools.walking.naming`; of an event that moved nothing, `state+state event`.

    *chart* is a class by its `identity`, *test* a pytest node id.
    """

    chart: str
    kind: Kind
    what: str
    test: str


Hits: TypeAlias = Counter[Hit]


def to_json(hits: Hits) -> str:
    """*hits* as a line of JSON."""
    return json.dumps(sorted((*hit, count) for hit, count in hits.items()))


def from_json(text: str) -> Hits:
    """What `to_json` wrote."""
    return Counter({Hit(chart, kind, what, test): count for chart, kind, what, test, count in json.loads(text)})
