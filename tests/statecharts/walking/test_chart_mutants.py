"""Every mutant of a chart is wrong in one place, differs from all others, and can be made."""

from dataclasses import replace
from typing import Any

import pytest
from statemachine import State, StateChart
from statemachine.exceptions import InvalidDefinition

from statecharts import CHARTS, Request, compile_chart, model
from statecharts.model import ChartModel
from statecharts.tools.walking.mutants import Mutant, mutants
from statecharts.tools.walking.replica import replica

each_chart = pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.__name__)


class Door(StateChart[Any]):
    """A small chart with one of everything."""

    shut = State("SHUT", initial=True)

    class usable(State.Compound, name="USABLE"):  # noqa: N801
        ajar = State("AJAR", initial=True, enter=["light_on", "beep"], exit="light_off")
        wide = State("WIDE", enter=["beep", "beep"])

    gone = State("GONE", final=True)

    push = shut.to(usable.ajar, cond="unlocked", on="creak") | usable.ajar.to(usable.wide, unless="stuck")
    knock = shut.to(None, on="bark")
    remove = usable.to(gone, after="wave")


def by_name(chart: type[StateChart[Any]]) -> dict[str, Mutant]:
    return {mutant.name: mutant for mutant in mutants(model.read(chart))}


def test_everything_is_dropped_retargeted_or_inverted_once() -> None:
    assert list(by_name(Door)) == [
        "Door: entry of ajar without light_on",
        "Door: entry of ajar without beep",
        "Door: entry of ajar without any action",
        "Door: exit of ajar without light_off",
        "Door: entry of wide without beep",
        "Door: shut --push [unlocked]--> ajar without creak",
        "Door: shut --push [unlocked]--> ajar dropped",
        "Door: shut --push [unlocked]--> ajar to wide instead",
        "Door: shut --push [unlocked]--> ajar with its guard inverted",
        "Door: shut --knock--> (stays) without bark",
        "Door: shut --knock--> (stays) dropped",
        "Door: usable --remove--> gone without wave",
        "Door: usable --remove--> gone dropped",
        "Door: usable --remove--> gone to shut instead",
        "Door: usable --remove--> gone to usable instead",
        "Door: ajar --push [not stuck]--> wide dropped",
        "Door: ajar --push [not stuck]--> wide to ajar instead",
        "Door: ajar --push [not stuck]--> wide with its guard inverted",
    ]


def test_entry_and_exit_of_one_state_are_a_pair() -> None:
    paired = [name for name, mutant in by_name(Door).items() if mutant.kind == "pair broken"]
    assert paired == [
        "Door: entry of ajar without light_on",
        "Door: entry of ajar without beep",
        "Door: entry of ajar without any action",
        "Door: exit of ajar without light_off",
    ]


def test_a_guard_becomes_its_opposite() -> None:
    opposites = {
        edge.guard
        for mutant in by_name(Door).values()
        if mutant.kind == "guard inverted"
        for edge in mutant.chart.edges
        if edge not in model.read(Door).edges
    }
    assert opposites == {"not unlocked", "stuck"}


def test_a_mutant_knows_the_transitions_that_run_through_its_change() -> None:
    found = by_name(Door)

    def touched(name: str) -> list[str]:
        return [f"{edge.source} {edge.event}" for edge in found[name].touched]

    assert touched("Door: entry of ajar without light_on") == ["shut push"]
    assert touched("Door: exit of ajar without light_off") == ["usable remove", "ajar push"]
    assert touched("Door: shut --knock--> (stays) dropped") == ["shut knock"]


@each_chart
def test_no_mutant_is_the_chart_or_another_mutant(chart: Any) -> None:
    plain = model.read(chart)
    made = list(mutants(plain))
    assert len({mutant.name for mutant in made}) == len(made)
    for number, mutant in enumerate(made):
        assert mutant.chart != plain
        assert all(mutant.chart != other.chart for other in made[:number])


@each_chart
def test_what_is_made_of_a_mutant_is_the_mutant_unless_the_library_refuses_it(chart: Any) -> None:
    refused = 0
    for mutant in mutants(model.read(chart)):
        try:
            made = replica(mutant.chart)
        except InvalidDefinition:
            refused += 1
        else:
            assert told_apart(model.read(made)) == told_apart(mutant.chart), mutant.name
    assert refused < len(by_name(chart)) / 2


def test_the_table_takes_an_inverted_guard() -> None:
    inverted = [mutant for mutant in mutants(model.read(Request)) if mutant.kind == "guard inverted"]
    assert len(inverted) == 5
    for mutant in inverted:
        compile_chart(replica(mutant.chart))


def told_apart(chart: ChartModel) -> ChartModel:
    """The chart's data without docstrings, which a replica does not have."""
    return replace(chart, doc="", prose="")
