"""How much of a chart tests have covered: its transitions, both outcomes of its guards, and the events that moved nothing."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from statecharts import model
from statecharts.model import ChartModel, EdgeModel, StateModel
from statecharts.tools.coverage.hits import Hits, Kind
from statecharts.tools.drawing import grid
from statecharts.tools.drawing.marks import HALF, NEVER, TAKEN, Mark
from statecharts.tools.walking.naming import identity, names


@dataclass(frozen=True, slots=True)
class Seen:
    """How often, and by which tests, in order."""

    count: int = 0
    tests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TransitionCover:
    """A transition; *held* and *refused* tell of its guard, where it has one."""

    edge: EdgeModel
    name: str
    taken: Seen
    held: Seen
    refused: Seen

    @property
    def outcomes(self) -> tuple[Seen, ...]:
        """Of the guard."""
        return (self.held, self.refused) if self.edge.guard else ()

    @property
    def mark(self) -> Mark:
        """What a picture says of it."""
        if not self.taken.count:
            return NEVER
        return TAKEN if all(seen.count for seen in self.outcomes) else HALF


@dataclass(frozen=True, slots=True)
class Unmoved:
    """An event that moved nothing in *states*, the ids of active leaves; *ignored*: on purpose, and the chart says so."""

    states: tuple[str, ...]
    event: str
    ignored: bool
    seen: Seen


@dataclass(frozen=True, slots=True)
class ChartCover:
    """A chart and what tests did with it, in the order of its declaration. *label* tells it from the other charts."""

    label: str
    identity: str
    chart: ChartModel
    transitions: tuple[TransitionCover, ...]
    unmoved: tuple[Unmoved, ...]

    @property
    def marks(self) -> dict[StateModel | EdgeModel, Mark]:
        """For pictures."""
        return {transition.edge: transition.mark for transition in self.transitions}


def cover(charts: Iterable[type[Any]], hits: Hits) -> list[ChartCover]:
    """What *hits* say of each of *charts*."""
    seen = _Sight(hits)
    charts = list(charts)
    plain = [chart.__name__ for chart in charts]
    return [
        _chart(chart, chart.__name__ if plain.count(chart.__name__) == 1 else identity(chart), seen) for chart in charts
    ]


def achieved(covers: Iterable[ChartCover]) -> float:
    """The lower of two percentages: of transitions that were taken, and of guards' outcomes that were seen."""
    transitions = [each for cover in covers for each in cover.transitions]
    taken = [bool(each.taken.count) for each in transitions]
    return min(_percent(taken), _percent([bool(seen.count) for each in transitions for seen in each.outcomes]))


def part(done: Sequence[bool]) -> str:
    """How much of it is."""
    return f"{sum(done)} of {len(done)} ({_percent(done):.1f} %)" if done else "none"


def _percent(done: Sequence[bool]) -> float:
    return 100 * sum(done) / len(done) if done else 100.0


class _Sight:
    """Looks hits up."""

    def __init__(self, hits: Hits) -> None:
        self._seen: dict[tuple[str, Kind], dict[str, dict[str, int]]] = {}
        for hit, count in sorted(hits.items()):
            self._seen.setdefault((hit.chart, hit.kind), {}).setdefault(hit.what, {})[hit.test] = count

    def of(self, chart: str, kind: Kind, what: str) -> Seen:
        tests = self._seen.get((chart, kind), {}).get(what, {})
        return Seen(sum(tests.values()), tuple(tests))

    def unmoved(self, chart: str) -> Iterable[str]:
        return self._seen.get((chart, "unmoved"), {})


def _chart(chart: type[Any], label: str, seen: _Sight) -> ChartCover:
    plain, own = model.read(chart), identity(chart)
    transitions = (
        TransitionCover(edge, name, *(seen.of(own, kind, name) for kind in ("taken", "held", "refused")))
        for edge, name in names(plain).items()
    )
    return ChartCover(label, own, plain, tuple(transitions), tuple(_unmoved(plain, own, seen)))


def _unmoved(chart: ChartModel, own: str, seen: _Sight) -> Iterator[Unmoved]:
    for what in seen.unmoved(own):
        states, _, event = what.rpartition(" ")
        leaves = tuple(states.split("+"))
        ignored = any(grid.is_ignored(chart, leaf, event) for leaf in leaves)
        yield Unmoved(leaves, event, ignored, seen.of(own, "unmoved", what))
