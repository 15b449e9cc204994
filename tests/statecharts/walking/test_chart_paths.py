"""Paths through the charts are generated: every transition can be taken, and from everywhere an end can be reached."""

from typing import Any

import pytest
from statemachine import StateChart

from statecharts import CHARTS, Connection, Link, Request, Stepper, compile_chart, model
from statecharts.tools.walking import naming, paths
from statecharts.tools.walking.paths import Graph, Move, Route

Chart = type[StateChart[Any]]

each_chart = pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.__name__)

EXPLORED = {chart.__name__: paths.explore(chart) for chart in CHARTS}
GRAPHS: dict[str, Graph] = {name: graph for name, (graph, _) in EXPLORED.items()}


@each_chart
def test_every_transition_can_be_taken(chart: Chart) -> None:
    """A path leads along each."""
    taken = {
        wording for moves in GRAPHS[chart.__name__].values() for arrival in moves.values() for wording in arrival.taken
    }
    assert set(naming.names(model.read(chart)).values()) == taken


@each_chart
def test_every_configuration_can_reach_an_end(chart: Chart) -> None:
    """A sequence of events leads from each to a final state."""
    graph = GRAPHS[chart.__name__]
    finals = [frozenset({state.id}) for state in model.read(chart).states if state.kind == "final"]
    assert set(graph) == set().union(*(paths.reaching(graph, final) for final in finals))


@each_chart
def test_a_final_state_is_never_left(chart: Chart) -> None:
    """No event takes a transition there."""
    for state in model.read(chart).states:
        if state.kind == "final":
            moves = GRAPHS[chart.__name__][frozenset({state.id})]
            assert not any(arrival.taken for arrival in moves.values())


@each_chart
def test_every_leaf_can_be_entered(chart: Chart) -> None:
    """The library checks this for top-level states only."""
    plain = model.read(chart)
    entered = frozenset().union(*GRAPHS[chart.__name__])
    assert {state.id for state in plain.states} == entered


@pytest.mark.parametrize("chart", [Connection, Link], ids=lambda chart: chart.__name__)
def test_an_action_that_raises_takes_error_execution(chart: Chart) -> None:
    """This holds for every action of every move, unless the move ends the chart."""
    graph, routes = EXPLORED[chart.__name__]
    final = frozenset({"closed"})
    for here, moves in graph.items():
        for move, arrival in moves.items():
            if arrival.configuration == final or move.event == "error_execution":
                continue
            for action in _actions_of(chart, routes[here], move):
                stage = paths.arrive(chart, routes[here])
                stage.actor.breaks = action
                taken = stage.make(move).taken
                assert any("error_execution" in wording for wording in taken), f"{sorted(here)} {move}: {action}"


def _actions_of(chart: Chart, route: Route, move: Move) -> set[str]:
    stage = paths.arrive(chart, route)
    stage.actor.log.clear()
    stage.make(move)
    return set(stage.actor.log)


def test_the_table_leads_where_the_library_leads() -> None:
    """Every state of the request, every event and every combination of guards is tried."""
    compiled = compile_chart(Request)
    for configuration, moves in GRAPHS["Request"].items():
        for move, arrival in moves.items():
            moves = list[object]()
            stepper = Stepper(compiled, paths.note_taker(Request), lambda _: None, moves.append)
            (stepper.state,) = configuration
            stepper.actor.truths = move.truths  # type: ignore[attr-defined]
            stepper.fire(move.event)
            assert len(moves) == bool(arrival.taken)
            assert {stepper.state} == arrival.configuration
