"""`Bound` refuses charts and actors that the library would misuse, and runs the rest in a known order."""

from typing import Any, ClassVar

import pytest
from statemachine import State, StateChart

from statecharts import Bound, Unexpected


class Door(StateChart[Any]):
    """A small chart that has everything `Bound` must handle."""

    shut = State("SHUT", initial=True, enter="latch")

    class wide(State.Compound, name="WIDE"):  # noqa: N801
        ajar = State("AJAR", initial=True, enter="creak")
        stuck = State("STUCK")

    gone = State("GONE", final=True)

    push = shut.to(wide)
    jam = wide.ajar.to(wide.stuck, cond="heavy")
    swing = wide.ajar.to(None, on="creak")
    remove = shut.to(gone) | wide.to(gone)
    error_execution = shut.to(gone, on="note") | wide.to(gone, on="note")

    ignored: ClassVar[dict[str, frozenset[str]]] = {"wide": frozenset({"push"}), "gone": frozenset({"*"})}


class Hand:
    """Notes its actions. `fires`: the event that an action fires; `breaks`: the action that raises."""

    def __init__(self, fires: dict[str, str] | None = None, breaks: str = "") -> None:
        self.notes: list[str] = []
        self.errors: list[Exception] = []
        self.reports: list[Unexpected] = []
        self.is_heavy = True
        self._fires = fires or {}
        self._breaks = breaks
        self.door = Bound(Door, self, self.reports.append)

    def latch(self) -> None:
        self._do("latch")

    def creak(self) -> None:
        self._do("creak")

    def heavy(self) -> bool:
        return self.is_heavy

    def note(self, error: Exception) -> None:
        self.errors.append(error)

    def _do(self, action: str) -> None:
        if action in self._fires:
            self.door.fire(self._fires.pop(action))
        self.notes.append(f"{action} done")
        if action == self._breaks:
            raise ZeroDivisionError(action)


def started(**kwargs: Any) -> Hand:
    hand = Hand(**kwargs)
    hand.door.start()
    return hand


def test_starting_enters_the_initial_state_and_runs_its_entry_actions() -> None:
    """Before `start` there is no state."""
    hand = Hand()
    assert (hand.door.states, hand.notes) == ((), [])
    hand.door.start()
    assert (hand.door.states, hand.notes) == (("SHUT",), ["latch done"])


def test_states_are_named_outermost_first() -> None:
    """`states` is the whole configuration, `top` the name of its outermost state."""
    hand = started()
    hand.door.fire("push")
    assert hand.door.states == ("WIDE", "AJAR")


def test_an_unknown_event_is_a_lookup_error_that_names_the_events() -> None:
    """A misspelt event is a bug of its sender, in every state."""
    with pytest.raises(LookupError, match=r"no event 'shove'; it declares .*push"):
        started().door.fire("shove")


def test_an_unexpected_event_is_reported_with_state_event_and_what_was_allowed() -> None:
    """The state stays."""
    hand = started()
    hand.door.fire("swing")
    assert hand.reports == [Unexpected("Door", ("SHUT",), "swing", ("error_execution", "push", "remove"))]
    assert str(hand.reports[0]) == (
        "Door chart: 'swing' is not expected in SHUT; allowed: error_execution, push, remove"
    )
    assert hand.door.states == ("SHUT",)


def test_an_event_whose_guards_all_refuse_is_reported() -> None:
    """Guards cannot make an event disappear."""
    hand = started()
    hand.is_heavy = False
    hand.door.fire("push")
    hand.door.fire("jam")
    assert [report.event for report in hand.reports] == ["jam"]


@pytest.mark.parametrize("events", [["push", "push"], ["push", "jam", "push"], ["remove", "jam"]])
def test_an_ignored_event_is_not_reported(events: list[str]) -> None:
    """It is ignored in the state that lists it, in inner states, and wherever all events are ignored."""
    hand = started()
    for event in events:
        hand.door.fire(event)
    assert hand.reports == []


def test_an_ignored_event_is_not_handed_to_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer may send such events by the thousand, and the engine takes up to a millisecond to do nothing."""
    hand = started()
    hand.door.fire("push")
    sent: list[str] = []
    monkeypatch.setattr(Door, "send", lambda _, event: sent.append(event))
    assert hand.door.ignores("push")
    assert not hand.door.ignores("swing")
    hand.door.fire("push")
    assert (sent, hand.reports, hand.door.states) == ([], [], ("WIDE", "AJAR"))


class Gate(StateChart[Any]):
    """An event that it ignores in SHUT may set off what its guard held back."""

    shut = State("SHUT", initial=True)
    wide = State("WIDE")
    gone = State("GONE", final=True)
    shut.to(wide, cond="heavy")
    knock = wide.to(gone)

    ignored: ClassVar[dict[str, frozenset[str]]] = {"shut": frozenset({"knock"})}


def test_an_ignored_event_still_sets_off_an_eventless_transition_whose_guard_holds_by_now() -> None:
    hand = Hand()
    hand.is_heavy = False
    gate = Bound(Gate, hand, hand.reports.append)
    gate.start()
    hand.is_heavy = True
    assert not gate.ignores("knock")
    gate.fire("knock")
    assert (gate.states, hand.reports) == (("GONE",), [])


def test_an_event_fired_before_the_start_is_kept() -> None:
    """The chart takes it once the initial state is entered."""
    hand = Hand()
    hand.door.fire("push")
    assert hand.notes == []
    hand.door.start()
    assert hand.door.states == ("WIDE", "AJAR")
    assert hand.notes == ["latch done", "creak done"]


@pytest.mark.parametrize("action", ["latch", "creak"])
def test_an_event_fired_from_inside_an_action_waits_until_the_action_is_done(action: str) -> None:
    """This also holds while the initial state is entered."""
    hand = started(fires={action: "push" if action == "latch" else "remove"})
    if action == "creak":
        hand.door.fire("push")
        assert hand.door.states == ("GONE",)
    assert hand.notes == ["latch done", "creak done"]
    assert hand.reports == []


@pytest.mark.parametrize("action", ["latch", "creak"])
def test_an_action_that_raises_takes_error_execution_with_its_error(action: str) -> None:
    """The transition is declared and gets the exception, at the start as well as later."""
    hand = started(breaks=action)
    if action == "creak":
        hand.door.fire("push")
    assert hand.door.states == ("GONE",)
    assert [type(error) for error in hand.errors] == [ZeroDivisionError]
    assert hand.reports == []


def test_two_charts_may_share_an_actor() -> None:
    """Each chart keeps its state in a field of its own."""

    class Window(StateChart[Any]):
        closed = State(initial=True)
        broken = State(final=True)
        throw = closed.to(broken)

    hand = started()
    hand.door.fire("push")
    window = Bound(Window, hand, hand.reports.append)
    window.start()
    assert (window.states, hand.door.states) == (("Closed",), ("WIDE", "AJAR"))


def test_each_move_is_told_once_its_transition_is_complete() -> None:
    """`moved` gets event, source and target, by names, outermost first."""
    told: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = []
    hand = Hand()
    door = Bound(Door, hand, hand.reports.append, lambda move: told.append((move.event, move.source, move.target)))
    door.start()
    door.fire("push")
    door.fire("jam")
    assert told[-2:] == [("push", ("SHUT",), ("WIDE",)), ("jam", ("WIDE", "AJAR"), ("WIDE", "STUCK"))]


class Missing:
    """An actor without `note`."""

    def latch(self) -> None: ...
    def creak(self) -> None: ...
    def heavy(self) -> bool:
        return True


class Whole(Missing):
    """An actor with all that the chart asks for."""

    def note(self, error: Exception) -> None: ...


class Async(Whole):
    """One asynchronous action would switch the library to its asynchronous engine."""

    async def latch(self) -> None: ...  # type: ignore[override]


class Hollow(Whole):
    """The library would accept an attribute as an action that does nothing."""

    creak = None  # type: ignore[assignment]


class Conventional(Whole):
    """The library would call this method by its name."""

    def on_enter_ajar(self) -> None: ...


@pytest.mark.parametrize(
    ("actor", "complaint"),
    [
        (Missing, "note: Missing needs a plain method of that name"),
        (Async, "latch: Async needs a plain method of that name"),
        (Hollow, "creak: Hollow needs a plain method of that name"),
        (Conventional, "on_enter_ajar: would be called by naming convention"),
    ],
)
def test_an_actor_that_the_library_would_misuse_is_refused(actor: type[Any], complaint: str) -> None:
    """`Bound` names the fault when it is made; the library would misuse the actor silently."""
    with pytest.raises(TypeError, match=f"^Door chart: {complaint}$"):
        Bound(Door, actor(), print)


def test_a_whole_actor_is_taken() -> None:
    """So the refusals above are about what each actor adds or lacks."""
    Bound(Door, Whole(), print).start()


def test_an_action_named_like_a_state_or_event_is_refused() -> None:
    """The library would take a state for a true guard, and send an event."""

    class Twisted(StateChart[Any]):
        on = State(initial=True, enter="flip")
        off = State(final=True)
        flip = on.to(off, cond="off")

    with pytest.raises(TypeError, match=r"flip: also a state or event.*off: also a state or event"):
        Bound(Twisted, Whole(), print)


def test_a_state_id_used_twice_is_refused() -> None:
    """The library would use the later one without an error."""

    class Doubled(StateChart[Any]):
        class both(State.Parallel):  # noqa: N801
            class left(State.Compound):  # noqa: N801
                a = State(initial=True)

            class right(State.Compound):  # noqa: N801
                a = State(initial=True)

    with pytest.raises(TypeError, match="a: state id used twice"):
        Bound(Doubled, Whole(), print)


def test_a_transition_without_event_and_guard_is_refused() -> None:
    """It would be taken at once. It is left over where an event is assigned twice."""

    class Hasty(StateChart[Any]):
        begin = State(initial=True)
        end = State(final=True)
        begin.to(end)

    with pytest.raises(TypeError, match="begin: transition without event or guard"):
        Bound(Hasty, Whole(), print)
