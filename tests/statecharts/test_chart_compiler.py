"""The compiled table: what it refuses, and that it behaves as the library does."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statemachine import State, StateChart

from statecharts import CHARTS, Connection, Link, Request, Stepper, compile_chart, model
from statecharts.tools.walking.paths import note_taker

COMPILED = compile_chart(Request)
EVENTS = model.read(Request).events
GUARDS = sorted(model.guards(model.read(Request)))


@pytest.mark.parametrize("chart", [Connection, Link], ids=lambda chart: chart.__name__)
def test_a_nested_chart_is_refused(chart: type[StateChart[Any]]) -> None:
    """A table has one state at a time."""
    with pytest.raises(TypeError, match="only flat states compile"):
        compile_chart(chart)


def _chart(**options: Any) -> type[StateChart[Any]]:
    class Tiny(StateChart[Any]):
        one = State(initial=True, enter=options.get("enter"))
        two = State(invoke=options.get("invoke"))
        three = State(final=True)
        go = one.to(two, **options.get("go", {}))
        end = two.to(three)
        if options.get("eventless"):
            two.to(three, cond="tired")
        if options.get("internal"):
            stay = two.to.itself(internal=True, on="act")  # type: ignore[no-untyped-call]

    return Tiny


@pytest.mark.parametrize(
    "options",
    [
        {"enter": "act"},
        {"invoke": "act"},
        {"eventless": True},
        {"internal": True},
        {"go": {"before": "act"}},
        {"go": {"validators": "act"}},
        {"go": {"cond": "tired and not act"}},
    ],
    ids=str,
)
def test_what_a_table_cannot_say_is_refused(options: dict[str, Any]) -> None:
    """Refused, not approximated."""
    with pytest.raises(TypeError, match="Tiny"):
        compile_chart(_chart(**options))


def test_the_refusals_are_about_the_options() -> None:
    """The same chart without any of them compiles."""
    assert compile_chart(_chart()).allowed("one") == ("go",)


def test_an_action_must_not_fire_its_own_chart() -> None:
    """A table has no inbox: a nested step would run before the outer one is done."""

    class Eager:
        def send_ack(self) -> None:
            stepper.fire("begin")

    stepper = Stepper(COMPILED, Eager())
    with pytest.raises(RuntimeError, match="Request chart: 'begin' fired from inside an action"):
        stepper.fire("accept")


def test_an_exception_of_an_action_reaches_the_caller_and_the_new_state_stands() -> None:
    """Unlike the library the table hides nothing, and it can go on."""

    class Broken:
        def send_ack(self) -> None:
            raise ZeroDivisionError

    stepper = Stepper(COMPILED, Broken())
    with pytest.raises(ZeroDivisionError):
        stepper.fire("accept")
    assert stepper.state == "acked"
    with pytest.raises(ZeroDivisionError):
        stepper.fire("redelivered")


def test_an_event_without_candidate_is_refused_and_changes_nothing() -> None:
    """The caller decides whether that was ignored on purpose or is a bug."""
    stepper = Stepper(COMPILED, note_taker(Request))
    assert stepper.fire("flush_ok") is False
    assert (stepper.state, stepper.actor.log) == ("received", [])  # type: ignore[attr-defined]


def test_the_table_knows_what_the_chart_ignores() -> None:
    """By event, or everything in a state whose life is over."""
    assert COMPILED.ignores("buffered", "lease_lost")
    assert COMPILED.ignores("confirmed", "redelivered")
    assert not COMPILED.ignores("received", "flush_ok")


def test_initial_and_final_states_are_those_of_the_chart() -> None:
    """Read from the declaration."""
    finals = {state.id for state in model.read(Request).states if state.kind == "final"}
    assert COMPILED.initial == "received"
    assert set(COMPILED.final) == finals


class _Machine:
    """The request chart on the library's own engine."""

    def __init__(self) -> None:
        self.actor = note_taker(Request)
        self.chart = Request(self.actor, state_field="_state")

    @property
    def state(self) -> str:
        (state,) = self.chart.configuration
        return state.id

    def fire(self, event: str) -> None:
        self.chart.send(event)


@given(st.data())
@settings(deadline=None, max_examples=200)
def test_table_and_library_behave_alike(data: st.DataObject) -> None:
    """Whatever comes, after each event both stand in the same state and have performed the same actions in the same order."""
    machine, actor = _Machine(), note_taker(Request)
    stepper = Stepper(COMPILED, actor)
    for _ in range(data.draw(st.integers(1, 12))):
        # Mostly events that the state knows: with even odds few runs leave the first states.
        known = COMPILED.allowed(stepper.state)
        event = data.draw(st.sampled_from((*known * 4, *EVENTS)))
        machine.actor.truths = actor.truths = data.draw(st.frozensets(st.sampled_from(GUARDS)))
        machine.fire(event)
        stepper.fire(event)
        assert (stepper.state, actor.log) == (machine.state, machine.actor.log)


def test_only_the_request_chart_is_compiled() -> None:
    """The others keep the library's engine, which queues and nests."""
    assert [chart for chart in CHARTS if not any(state.parent for state in model.read(chart).states)] == [Request]
