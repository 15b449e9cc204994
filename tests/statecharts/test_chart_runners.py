"""The contract of `Runner`, held by both: `Bound` on the library's engine, and `Stepper` on the compiled table."""

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runner_kit import Chart, Diary, bound, play, stepper
from statemachine import State, StateChart

from statecharts import Move, Request, Stepper, Unexpected


class Lamp(StateChart[Any]):
    """Flat, with one of everything that a table can say."""

    off = State("OFF", initial=True, exit="wake")
    on = State("ON", enter=["light", "hum"], exit="dim")
    broken = State("BROKEN", final=True, enter="smoke")

    press = off.to(on, cond="powered", on="click") | off.to(None, on="click") | on.to(off, on="click", after="cool")
    shake = on.to(broken, unless="sturdy") | on.to(None, on="hum")
    dust = on.to(None)

    ignored: ClassVar[dict[str, frozenset[str]]] = {"off": frozenset({"dust"}), "broken": frozenset({"*"})}


both = pytest.mark.parametrize("run", [bound, stepper])
Run = Callable[[Chart], Diary]


def moves(diary: Diary) -> list[Move]:
    return [line[0] for line in diary.lines if isinstance(line, tuple) and isinstance(line[0], Move)]


def reports(diary: Diary) -> list[Unexpected]:
    return [line[0] for line in diary.lines if isinstance(line, tuple) and isinstance(line[0], Unexpected)]


@both
def test_a_transition_runs_its_actions_in_order_then_shows_its_state_then_tells_its_move(run: Run) -> None:
    """Exit, on, entry, after; an action still sees the states before."""
    diary = run(Lamp)
    diary.truths = frozenset({"powered"})
    diary.runner.fire("press")
    diary.runner.fire("press")
    assert diary.lines == [
        *(("powered", ("OFF",)), ("wake", ("OFF",)), ("click", ("OFF",)), ("light", ("OFF",)), ("hum", ("OFF",))),
        (Move("press", ("OFF",), ("ON",)), ("ON",)),
        *(("dim", ("ON",)), ("click", ("ON",)), ("cool", ("ON",))),
        (Move("press", ("ON",), ("OFF",)), ("OFF",)),
    ]


@both
def test_a_transition_that_stays_is_a_move_too(run: Run) -> None:
    diary = run(Lamp)
    diary.runner.fire("press")
    assert moves(diary) == [Move("press", ("OFF",), ("OFF",))]


@both
def test_an_event_that_is_fired_from_inside_an_action_waits_for_its_turn(run: Run) -> None:
    """Until the transition is complete and told; then in the order of firing, whichever transition fired it."""
    diary = run(Lamp)
    diary.truths = frozenset({"powered", "sturdy"})
    diary.fires(click="shake", light="dust", hum="press")
    diary.runner.fire("press")
    assert [line[0] for line in diary.lines if isinstance(line, tuple)] == [
        *("powered", "wake", "click", "light", "hum", Move("press", ("OFF",), ("ON",))),
        *("sturdy", "hum", Move("shake", ("ON",), ("ON",))),
        Move("dust", ("ON",), ("ON",)),
        *("dim", "click", "cool", Move("press", ("ON",), ("OFF",))),
    ]


@both
@pytest.mark.parametrize("what", ["powered", "moved", "unexpected"])
def test_an_event_that_is_fired_by_a_guard_a_report_or_a_listener_waits_as_well(run: Run, what: str) -> None:
    diary = run(Lamp)
    diary.fires(**{what: "press"})
    diary.runner.fire("shake" if what == "unexpected" else "press")
    assert diary.lines[-1] == (Move("press", ("OFF",), ("OFF",)), ("OFF",))
    assert len(moves(diary)) == (1 if what == "unexpected" else 2)


@both
def test_an_unexpected_event_is_reported_with_state_event_and_what_was_allowed(run: Run) -> None:
    """Also where it has candidates, and none of their guards holds; the state stays."""
    diary = run(Lamp)
    diary.runner.fire("shake")
    assert reports(diary) == [Unexpected("Lamp", ("OFF",), "shake", ("press",))]
    assert str(reports(diary)[0]) == "Lamp chart: 'shake' is not expected in OFF; allowed: press"
    assert diary.runner.states == ("OFF",)


@both
def test_an_ignored_event_is_neither_reported_nor_a_move(run: Run) -> None:
    """Those that a state lists, and every event where it lists all."""
    diary = run(Lamp)
    diary.truths = frozenset({"powered"})
    for event in ("dust", "press", "shake", "press", "shake", "dust"):
        diary.runner.fire(event)
    assert diary.runner.states == ("BROKEN",)
    assert [move.event for move in moves(diary)] == ["press", "shake"]
    assert reports(diary) == []


@both
def test_an_unknown_event_is_a_lookup_error_at_once(run: Run) -> None:
    """In the middle of another event, too: the one who fires it is wrong, whatever the state."""
    diary = run(Lamp)
    with pytest.raises(LookupError, match=r"Lamp chart: no event 'kick'; it declares dust, press, shake"):
        diary.runner.fire("kick")

    def kick(name: str) -> None:
        if name == "click":
            with pytest.raises(LookupError, match="no event 'kick'"):
                diary.runner.fire("kick")

    diary.then = kick
    diary.runner.fire("press")
    assert [move.event for move in moves(diary)] == ["press"]
    assert reports(diary) == []


@both
@pytest.mark.parametrize("what", ["moved", "unexpected"])
def test_what_a_listener_or_a_report_raises_goes_to_the_caller_and_what_waits_is_dropped(run: Run, what: str) -> None:
    """Nothing is left over for the next event."""
    diary = run(Lamp)

    def fail(name: str) -> None:
        if name == what:
            diary.runner.fire("press")
            raise ZeroDivisionError

    diary.then = fail
    with pytest.raises(ZeroDivisionError):
        diary.runner.fire("shake" if what == "unexpected" else "press")
    diary.lines.clear()
    diary.then = lambda _: None
    diary.runner.fire("press")
    assert diary.lines == [
        ("powered", ("OFF",)),
        ("click", ("OFF",)),
        (Move("press", ("OFF",), ("OFF",)), ("OFF",)),
    ]


def test_what_an_action_of_the_table_raises_goes_to_the_caller_and_the_table_goes_on() -> None:
    """The transition is taken and told; the actions to come, and the events that wait, are not run."""
    diary = stepper(Lamp)
    diary.truths = frozenset({"powered"})

    def fail(name: str) -> None:
        if name == "click":
            diary.runner.fire("shake")
        if name == "light":
            raise ZeroDivisionError

    diary.then = fail
    with pytest.raises(ZeroDivisionError):
        diary.runner.fire("press")
    assert diary.lines[-2:] == [("light", ("OFF",)), (Move("press", ("OFF",), ("ON",)), ("ON",))]
    diary.runner.fire("dust")
    assert diary.lines[-1] == (Move("dust", ("ON",), ("ON",)), ("ON",))


def test_what_a_guard_of_the_table_raises_goes_to_the_caller_and_the_table_goes_on() -> None:
    """No transition is taken."""
    diary = stepper(Lamp)

    def fail(name: str) -> None:
        diary.runner.fire("press")
        raise ZeroDivisionError

    diary.then = fail
    with pytest.raises(ZeroDivisionError):
        diary.runner.fire("press")
    diary.then = lambda _: None
    diary.runner.fire("press")
    assert moves(diary) == [Move("press", ("OFF",), ("OFF",))]


def test_a_table_whose_chart_has_ended_holds_its_actor_no_more() -> None:
    """Whichever way: nothing is left for the garbage collector."""
    diary = stepper(Lamp)
    diary.truths = frozenset({"powered"})
    diary.runner.fire("press")
    assert isinstance(diary.runner, Stepper)
    assert diary.runner.actor

    def fail(name: str) -> None:
        if name == "smoke":
            raise ZeroDivisionError

    diary.then = fail
    with pytest.raises(ZeroDivisionError):
        diary.runner.fire("shake")
    assert diary.runner.actor is None
    assert diary.runner.states == ("BROKEN",)


# -- side by side ----------------------------------------------------------------------------------------------------------------


@given(st.data())
@settings(deadline=None, max_examples=200)
def test_both_runners_do_the_same(data: st.DataObject) -> None:
    """Whatever comes, and whatever is fired from inside actions, guards, reports and moves: in the same order the same actions,
    guards, reports and moves, each in the same states."""
    play(data, data.draw(st.sampled_from([Request, Lamp])))
