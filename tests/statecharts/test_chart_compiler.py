"""The compiled table: what it says, and what it refuses. That it runs as the library does: see test_chart_runners."""

from typing import Any

import pytest
from statemachine import State, StateChart

from statecharts import CHARTS, Connection, Link, Request, Stepper, compile_chart, model, runner
from statecharts.tools.walking.paths import note_taker

COMPILED = compile_chart(Request)


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


class Whole:
    """Answers to `Tiny` with a guard and an action."""

    def tired(self) -> bool:
        return True

    def act(self) -> None: ...


class Missing:
    """Lacks `act`."""

    def tired(self) -> bool:
        return True


class Async(Whole):
    """A table would call it, and nothing would happen."""

    async def act(self) -> None: ...  # type: ignore[override]


class Hollow(Whole):
    """No method."""

    act = None  # type: ignore[assignment]


class Conventional(Whole):
    """The library would call this on its own account."""

    def on_enter_two(self) -> None: ...


class Curious(Whole):
    """The library would tell it the event."""

    def act(self, event: object = None) -> None: ...


@pytest.mark.parametrize(
    ("actor", "complaint"),
    [
        (Missing, "act: Missing needs a plain method of that name"),
        (Async, "act: Async needs a plain method of that name"),
        (Hollow, "act: Hollow needs a plain method of that name"),
        (Conventional, "on_enter_two: would be called by naming convention"),
        (Curious, "act: Curious needs a method of that name without parameters"),
    ],
)
def test_an_actor_that_does_not_answer_to_the_chart_is_refused(actor: type[Any], complaint: str) -> None:
    """As `Bound` refuses it, and in the same words; each time it is tried."""
    compiled = compile_chart(_chart(go={"on": "act", "cond": "tired"}))
    Stepper(compiled, Whole(), print)
    for _ in range(2):
        with pytest.raises(TypeError, match=f"^Tiny chart: {complaint}$"):
            Stepper(compiled, actor(), print)


def test_the_class_of_an_actor_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not each of a thousand requests a second."""
    compiled = compile_chart(_chart(go={"on": "act"}))
    Stepper(compiled, Whole(), print)
    monkeypatch.setattr(runner, "gaps", None)
    Stepper(compiled, Whole(), print)


def test_a_chart_that_contradicts_itself_is_refused() -> None:
    """As `Bound` refuses it, and in the same words."""
    with pytest.raises(TypeError, match=r"^Tiny chart: go: also a state or event; three: also a state or event$"):
        compile_chart(_chart(go={"on": "go", "cond": "three"}))


def test_a_step_makes_nothing_while_no_event_waits() -> None:
    """A busy worker has thousands of them: no inbox, and no dictionary."""
    stepper = Stepper(COMPILED, note_taker(Request), print)
    stepper.fire("accept")
    assert stepper._inbox is None
    assert not hasattr(stepper, "__dict__")


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


def test_only_the_request_chart_is_compiled() -> None:
    """The others keep the library's engine, which queues and nests."""
    assert [chart for chart in CHARTS if not any(state.parent for state in model.read(chart).states)] == [Request]
