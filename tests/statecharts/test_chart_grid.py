"""Every pair of configuration and event leads to a transition, is ignored on purpose, or is reported."""

from typing import Any

import pytest

from statecharts import CHARTS, Bound, Unexpected, model
from statecharts.tools.drawing import grid
from statecharts.tools.walking import paths
from statecharts.tools.walking.paths import Configuration

EXPLORED = {chart: paths.explore(chart) for chart in CHARTS}
CELLS = [
    pytest.param(chart, here, event, id=f"{chart.__name__} {'+'.join(_leaf for _leaf in sorted(here))} {event}")
    for chart, (graph, _) in EXPLORED.items()
    for here in graph
    for event in model.read(chart).events
]


def outcomes(chart: Any, here: Configuration, event: str) -> set[str]:
    """What `Bound` does with *event* in the configuration *here*, for every combination of the guards."""
    return {_outcome(chart, here, move) for move in EXPLORED[chart][0][here] if move.event == event}


def _outcome(chart: Any, here: Configuration, move: paths.Move) -> str:
    actor, reports, moves = paths.note_taker(chart), list[Unexpected](), list[object]()
    bound = Bound(chart, actor, reports.append, moves.append)
    bound.start()
    for step in EXPLORED[chart][1][here]:
        actor.truths = step.truths
        bound.fire(step.event, error=RuntimeError("staged"))
    moves.clear()
    reports.clear()
    actor.truths = move.truths
    bound.fire(move.event, error=RuntimeError("staged"))
    if moves:
        return "taken"
    return "reported" if reports else "ignored"


@pytest.mark.parametrize(("chart", "here", "event"), CELLS)
def test_every_cell_is_decided(chart: Any, here: Configuration, event: str) -> None:
    """A living chart does in each cell what its declaration says, whatever the guards answer."""
    plain = model.read(chart)
    leaves = [leaf for leaf in grid.leaves(plain) if leaf in here]
    if any(grid.candidates(plain, leaf, event) for leaf in leaves):
        expected = "taken"
    elif any(grid.is_ignored(plain, leaf, event) for leaf in leaves):
        expected = "ignored"
    else:
        expected = "reported"
    # A poke that meets a guard which has become true takes the eventless transition, expected or not.
    eventless = any(grid.candidates(plain, leaf, "") for leaf in leaves)
    assert outcomes(chart, here, event) <= {expected, "taken" if eventless else expected}
    assert expected in outcomes(chart, here, event)
