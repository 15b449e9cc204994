"""The engine of the fleet's simulation makes of every event what the library's engine makes of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runner_kit import Chart, Diary, bound, fire_within, guards_of, kept

from benchmarks.simulation.engine import Tabled
from statecharts import CHARTS, model


def tabled(chart: Chart) -> Diary:
    """On the table of the simulation, started."""
    diary = Diary()
    diary.runner = runner = Tabled(chart, kept(diary, chart), diary.unexpected, diary.moved)
    runner.start()
    return diary


@pytest.mark.parametrize("chart", CHARTS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_both_engines_take_the_same_transitions_and_run_the_same_actions(chart: Chart, data: st.DataObject) -> None:
    """Whatever is fired, also from inside actions, and whatever guards say. Actions that raise end a simulation."""
    pair, edges = (bound(chart), tabled(chart)), model.read(chart).edges
    events = sorted({edge.event for edge in edges if edge.event})
    inner = data.draw(st.dictionaries(st.integers(0, 40), st.sampled_from(events), max_size=6))
    for diary in pair:
        fire_within(diary, inner)
    for _ in range(data.draw(st.integers(1, 15))):
        known = [edge.event for edge in edges if edge.event and edge.source in pair[0].runner.ids]  # type: ignore[attr-defined]
        event = data.draw(st.sampled_from((*known * 4, *events)))
        truths = data.draw(st.frozensets(st.sampled_from(guards_of(chart)))) if guards_of(chart) else frozenset()
        for diary in pair:
            diary.truths = truths
            diary.runner.fire(event)
        assert pair[0].lines == pair[1].lines
        assert pair[0].runner.states == pair[1].runner.states
