"""The three charts import nothing to act with, and ask their actors for exactly what they name."""

import ast
import inspect
import sys
from typing import Any

import pytest
from statemachine import StateChart

from statecharts import CHARTS, Connection, ConnectionActions, Link, LinkActions, RequestActions, model
from statecharts.tools.drawing import grid

Chart = type[StateChart[Any]]

PROTOCOLS = dict(zip(CHARTS, (ConnectionActions, LinkActions, RequestActions), strict=True))

each_chart = pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.__name__)


@each_chart
def test_a_declaration_imports_nothing_but_statemachine_and_typing(chart: Chart) -> None:
    """So a chart cannot do anything by itself."""
    tree = ast.parse(inspect.getsource(sys.modules[chart.__module__]))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported == {"statemachine", "typing"}


@each_chart
def test_the_protocol_names_exactly_what_the_chart_asks_for(chart: Chart) -> None:
    """The protocol has no action that the chart does not name, and lacks none."""
    members = {name for name, member in vars(PROTOCOLS[chart]).items() if inspect.isfunction(member) and name[0] != "_"}
    assert members == model.actions(model.read(chart)) | model.guards(model.read(chart))


@each_chart
def test_what_is_ignored_names_states_and_events_of_the_chart(chart: Any) -> None:
    """A misspelt entry would ignore nothing."""
    plain = model.read(chart)
    assert set(chart.ignored) <= {state.id for state in plain.states}
    assert {event for events in chart.ignored.values() for event in events} <= {*plain.events, "*"}


@each_chart
def test_nothing_is_both_ignored_and_declared(chart: Any) -> None:
    """An ignored event has no transition in that state or in an outer one."""
    plain = model.read(chart)
    declared = {(state, edge.event) for edge in plain.edges for state in _within(plain, edge.source)}
    ignored = {(state, event) for state, events in chart.ignored.items() for event in events}
    assert not declared & ignored
    assert not {state for state, _ in declared} & {state for state, event in ignored if event == "*"}


def _within(plain: model.ChartModel, box: str) -> list[str]:
    return [state.id for state in plain.states if box in grid.around(plain, state.id)]


@each_chart
def test_a_state_ignores_nothing_twice(chart: Any) -> None:
    """Inner states need not repeat what an outer one ignores."""
    plain = model.read(chart)
    for state, events in chart.ignored.items():
        for box in grid.around(plain, state)[1:]:
            assert not events & chart.ignored.get(box, frozenset())


@pytest.mark.parametrize("chart", [Connection, Link], ids=lambda chart: chart.__name__)
def test_every_state_answers_an_action_that_raised(chart: Chart) -> None:
    """Without a transition for `error_execution` the library drops the exception."""
    plain = model.read(chart)
    deaf = [leaf for leaf in grid.leaves(plain) if not grid.candidates(plain, leaf, "error_execution")]
    assert deaf == [state.id for state in plain.states if state.kind == "final"]


@each_chart
def test_every_candidate_can_be_reached(chart: Chart) -> None:
    """A transition behind one without a guard would never be tried."""
    edges = model.read(chart).edges
    for source, event in {(edge.source, edge.event) for edge in edges}:
        guards = [edge.guard for edge in edges if (edge.source, edge.event) == (source, event)]
        assert all(guards[:-1]), f"{source} --{event}--> has a candidate behind one without guard"
        assert len(set(guards)) == len(guards), f"{source} --{event}--> has the same guard twice"
