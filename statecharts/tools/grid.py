"""What each state makes of each event, so that no pair is left to chance."""

from collections.abc import Mapping

from statecharts.model import ChartModel, EdgeModel

Ignored = Mapping[str, frozenset[str]]


def leaves(chart: ChartModel) -> list[str]:
    """Ids of the states without substates."""
    parents = {state.parent for state in chart.states}
    return [state.id for state in chart.states if state.id not in parents]


def around(chart: ChartModel, state_id: str) -> list[str]:
    """*state_id* and the states that enclose it, innermost first: the order in which the engine asks them."""
    parent = chart.state(state_id).parent
    return [state_id, *(around(chart, parent) if parent else [])]


def candidates(chart: ChartModel, leaf: str, event: str) -> list[EdgeModel]:
    """The transitions that *event* may take while *leaf* is active, in the order in which they are tried."""
    return [
        edge for source in around(chart, leaf) for edge in chart.edges if (edge.source, edge.event) == (source, event)
    ]


def is_ignored(chart: ChartModel, ignored: Ignored, leaf: str, event: str) -> bool:
    """Whether *event* means nothing in *leaf*, on purpose."""
    return any(ignored.get(source, frozenset()) & {event, "*"} for source in around(chart, leaf))
