"""What a table cannot say is refused by its name; what it can say, it says exactly."""

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runner_kit import Chart, play
from statemachine import Event, HistoryState, State, StateChart, StateMachine
from statemachine.exceptions import InvalidDefinition
from statemachine.states import States

from statecharts import compile_chart

UNCHECKED: dict[str, Any] = {
    "validate_disconnected_states": False,
    "validate_trap_states": False,
    "validate_final_reachability": False,
}
"""Switches the library's own checks of a chart off."""


def does(*_: Any) -> None:
    """An action that is a function."""


class Ear:
    """A listener."""

    def on_go(self) -> None: ...


def tiny(base: Chart = StateChart, one: Any = None, two: Any = None, go: Any = None, **attributes: Any) -> Chart:
    """A chart of three states in a row, with more to it."""
    first, second, third = State(initial=True, **(one or {})), State(**(two or {})), State(final=True)
    made = {"one": first, "two": second, "three": third}
    made["go"], made["end"] = first.to(second, **(go or {})), second.to(third)
    return type(base)("Tiny", (base,), {**made, **attributes})


def method(self: Any) -> None: ...


def decorated(group: str) -> Chart:
    """A function of the chart class that is tied to a state, a transition or an event by decorator."""

    class Tiny(StateChart[Any]):
        one = State(initial=True)
        two = State(final=True)

        if group == "go":

            @one.to(two)
            def go(self) -> None: ...

        else:
            go = one.to(two)

            @getattr(one if group in ("enter", "exit") else go, group)
            def act(self) -> bool:
                return True

    return Tiny


def bare(event: str) -> Chart:
    """A transition that names its event itself."""

    class Tiny(StateChart[Any]):
        one = State(initial=True)
        two = State()
        three = State(final=True)
        go = one.to(two)
        end = two.to(three)
        two.to(three, event=event)

    return Tiny


def named(name: str) -> Chart:
    """An event that is an attribute called so."""
    one, two = State(initial=True), State(final=True)
    return type(StateChart)("Tiny", (StateChart,), {"one": one, "two": two, name: one.to(two)})


def evented(**options: Any) -> Chart:
    """An event that is an object."""

    class Tiny(StateChart[Any]):
        one = State(initial=True)
        two = State(final=True)
        go = Event(one.to(two), **options)

    return Tiny


def moved(event: str = "", target: str = "three", *, twice: bool = False, **options: Any) -> Chart:
    """One transition more."""
    one, two, three = State(initial=True), State(), State(final=True)
    states = {"one": one, "two": two, "three": three}
    transitions = two.to(states[target], **options)
    if twice:
        transitions[0].targets.append(three)
    added = {event: transitions} if event else {}
    return type(StateChart)("Tiny", (StateChart,), {**states, "go": one.to(two), "end": two.to(three), **added})


def boxed(kind: Any) -> Chart:
    """A state that holds another."""

    class Tiny(StateChart[Any]):
        one = State(initial=True)

        class two(kind):  # type: ignore[misc]  # noqa: N801
            within = State(initial=True)

        three = State(final=True)
        go = one.to(two)
        end = two.to(three)

    return Tiny


Cases = Iterator[tuple[str, str, Chart]]
"""What it is called, how it is refused, and a chart that has it."""


def attributes() -> Cases:
    """Attributes of the chart class that the library calls, or asks, because of their names."""
    where = "an attribute of the chart class, which the library would use"
    for name in (
        *("on_enter_state", "on_enter_two", "on_enter_one", "on_exit_state", "on_exit_one", "on_invoke_two"),
        *("before_transition", "on_transition", "after_transition", "before_go", "on_go", "after_go", "prepare_event"),
    ):
        yield name, f"{name}: {where}", tiny(**{name: method})
    yield "on_go, an event", f"on_go: {where}", tiny(on_go=State().to(State()))
    yield "action of the chart", f"act: {where}", tiny(go={"on": "act"}, act=method)
    yield "entry action of the chart", f"act: {where}", tiny(two={"enter": "act"}, act=method)
    yield "guard of the chart", f"warm: {where}", tiny(go={"cond": "warm"}, warm=lambda _: True)
    yield "guard that is a fact of the chart", f"warm: {where}", tiny(go={"cond": "warm"}, warm=True)
    yield "action of every chart", f"raise_: {where}", tiny(go={"on": "raise_"})
    yield "guard of every chart", f"is_terminated: {where}", tiny(go={"unless": "is_terminated"})


def functions() -> Cases:
    """Functions, properties and events where a name should be."""
    arrow = "one --go--> two"
    yield "lambda as guard", f"{arrow}: <lambda> is a function and not a name", tiny(go={"cond": lambda: True})
    yield "function as action", f"{arrow}: does is a function and not a name", tiny(go={"on": does})
    yield "function after", f"{arrow}: does is a function and not a name", tiny(go={"after": does})
    yield "function on entry", "two: does is a function and not a name", tiny(two={"enter": does})
    yield "function on exit", "one: does is a function and not a name", tiny(one={"exit": [does]})
    yield "method as action", f"{arrow}: on_go is a method and not a name", tiny(go={"on": Ear().on_go})
    fact = property(lambda _: True)
    yield "property as guard", f"{arrow}: <lambda> is a property and not a name", tiny(go={"cond": fact})
    yield "partial as action", f"{arrow}: does is a partial and not a name", tiny(go={"on": partial(does, 1)})
    yield "decorated", f"{arrow}: _go_ is a function and not a name", decorated("go")
    for group in ("on", "after", "cond", "unless"):
        yield f"decorated {group}", f"{arrow}: act is a function and not a name", decorated(group)
    for group in ("enter", "exit"):
        yield f"decorated {group}", "one: act is a function and not a name", decorated(group)


def moments() -> Cases:
    """What runs at another time than a table's actions."""
    yield "before", "one --go--> two: before (act)", tiny(go={"before": "act"})
    yield "before, a function", "one --go--> two: before (does)", tiny(go={"before": does})
    yield "decorated before", "one --go--> two: before (act)", decorated("before")
    yield "validators", "one --go--> two: validators (act)", tiny(go={"validators": "act"})
    yield "invoke", "two: invokes act", tiny(two={"invoke": "act"})
    yield "entry of the initial state", "one: the initial state has entry actions (act)", tiny(one={"enter": "act"})
    heard = tiny(listeners=[Ear])
    yield "listeners", "listeners: declared by the chart class", heard
    yield "listeners of a base", "listeners: declared by the chart class", type(StateChart)("Tiny", (heard,), {})


def guards() -> Cases:
    """Guards that are more than one method's answer."""
    junctions = ("warm and dry", "warm or dry", "not warm", "!warm", "warm ^ dry", "warm v dry")
    for guard in (*junctions, "In('two')", "level > 3", "v", "True", "warm "):
        yield f"guard {guard}", f"one --go--> two: guard {guard!r} is not one method's name", tiny(go={"cond": guard})


def events() -> Cases:
    """Events that a table does not tell apart as the engine does."""
    pattern = "is a pattern, or an event of the engine's own"
    for event in ("*", "error.*", "error.execution", "done.state.two", "done.invoke.act", "go.", "go.on"):
        yield event, f"two --{event}--> three: {event!r} {pattern}", bare(event)
    for name in ("error_execution", "done_state_two", "done_invoke_act"):
        ids = f"{name} {name.replace('_', '.', 1 if name.startswith('error') else 2)}"
        yield name, f"one --{ids}--> two: {ids.partition(' ')[2]!r} {pattern}", named(name)
    yield "delayed event", "go: an event that is delayed or internal", evented(delay=5)
    yield "internal event", "go: an event that is delayed or internal", evented(internal=True)
    for name in ("send", "configuration", "history_values"):
        yield f"event {name}", f"{name}: the library's charts have an attribute of that name", named(name)


def transitions() -> Cases:
    """Transitions that a table has no place for."""
    yield "eventless", "two --(always)--> three: without an event", moved(cond="tired")
    yield "internal", "two --stay--> two: internal", moved("stay", target="two", internal=True)
    yield "initial", "two --stay--> three: initial", moved("stay", initial=True)
    yield "two targets", "two --stay--> three, three: with more than one target", moved("stay", twice=True)


def states() -> Cases:
    """States that are not side by side."""
    flat = "and only flat states compile"
    yield "compound", f"two: compound, {flat}", boxed(State.Compound)
    yield "parallel", f"two: parallel, {flat}", boxed(State.Parallel)
    yield "parallel, empty", f"two: parallel, {flat}", tiny(two={"parallel": True})
    yield "history", f"was: history, {flat}", tiny(was=HistoryState(), **UNCHECKED)
    called = States({"one": State(initial=True), "send": State(final=True)})
    taken = type(StateChart)("Tiny", (StateChart,), {"all": called, "go": called.one.to(called.send)})
    yield "state send", "send: the library's charts have an attribute of that name", taken
    yield "same value", "two states have the same value", tiny(one={"value": 1}, two={"value": True}, **UNCHECKED)


def flags() -> Cases:
    """What the chart class makes of the library."""
    said = "not as StateChart has it"
    off = ("allow_event_without_transition", "enable_self_transition_entries", "catch_errors_as_events")
    for flag, value in (*((flag, False) for flag in off), ("atomic_configuration_update", True)):
        yield flag, f"{flag}: {said}", tiny(**{flag: value})
        yield f"{flag} of StateMachine", f"{flag}: {said}", tiny(StateMachine)
    yield "start", f"start_configuration_values: {said}", tiny(start_configuration_values=["two"])
    for name in ("__init__", "send", "configuration", "_get_engine", "__setattr__", "model"):
        yield f"own {name}", f"{name}: {said}", tiny(**{name: method})
    mixin = type("Mixin", (), {"send": method})
    yield "send of a mixin", f"send: {said}", type(StateChart)("Tiny", (mixin, tiny()), {})


REFUSED = [
    pytest.param(chart, complaint, id=name)
    for group in (attributes, functions, moments, guards, events, transitions, states, flags)
    for name, complaint, chart in group()
]


@pytest.mark.parametrize(("chart", "complaint"), REFUSED)
def test_what_a_table_cannot_say_is_refused_by_its_name(chart: Chart, complaint: str) -> None:
    """Refused, not approximated: the chart, where in it, and what it is."""
    with pytest.raises(TypeError, match=rf"^{chart.__name__} chart: (.*; )?{re.escape(complaint)}"):
        compile_chart(chart)


def test_what_is_no_chart_is_refused() -> None:
    """It has no states."""
    with pytest.raises(TypeError, match=r"^StateChart chart: no states$"):
        compile_chart(StateChart)


SAID = [
    pytest.param(tiny(), id="nothing added"),
    pytest.param(tiny(on_entr_two=method, describe=classmethod(method), weight=3), id="attributes nothing looks for"),
    pytest.param(tiny(go={"cond": ["warm", "dry"], "unless": "wet"}), id="several guards"),
    pytest.param(tiny(go={"event": "run jump"}), id="several events"),
    pytest.param(tiny(one={"value": 0}, two={"value": ""}), id="values"),
    pytest.param(tiny(go={"on": ["act", "act", "rest"]}, one={"exit": "act"}), id="actions again"),
    pytest.param(tiny(listeners=[]), id="no listeners"),
    pytest.param(tiny(validate_trap_states=False), id="checks of the library"),
    pytest.param(evented(name="Go!"), id="an event with a name"),
    pytest.param(type(StateChart)("Tiny", (tiny(),), {"__doc__": "More."}), id="extended"),
]
"""Charts that look like one of the above, and are not."""


@pytest.mark.parametrize("chart", SAID)
@given(data=st.data())
@settings(deadline=None, max_examples=5)
def test_what_a_table_can_say_runs_as_on_the_engine(chart: Chart, data: st.DataObject) -> None:
    """The refusals are about what is refused."""
    play(data, chart)


# -- any flat chart --------------------------------------------------------------------------------------------------------------

ACTIONS = ("act", "rest", "call")
GUARDS = ("warm", "dry", "wet")
STATES = ("s0", "s1", "s2", "s3")
ODD = 20
"""In every other chart one in so many choices is for something that a table may not be able to say."""


@st.composite
def charts(draw: st.DrawFn) -> Chart | None:
    """Any flat chart, now and then with something odd; None where the library refuses it."""

    def odd(*choices: Any) -> Any:
        if strange and draw(st.integers(0, ODD)) == ODD // 2:
            return draw(st.sampled_from(choices))
        return None

    def some(names: tuple[str, ...], *others: Any) -> list[Any]:
        drawn = draw(st.lists(st.sampled_from(names), max_size=2))
        other = odd(*others)
        return drawn + ([other] if other is not None else [])

    strange = draw(st.booleans())
    ids = STATES[: draw(st.integers(2, 4))]
    states = {
        name: State(
            initial=name == "s0",
            final=name == ids[-1] and draw(st.booleans()),
            value=odd(0, 1, True, "", "s1", name),
            enter=some(ACTIONS, does) if name != "s0" or odd(True) else None,
            exit=some(ACTIONS, does),
            invoke=odd("act"),
        )
        for name in ids
    }
    attributes: dict[str, Any] = {**states, **UNCHECKED}
    for number in range(draw(st.integers(1, 8))):
        source = draw(st.sampled_from([state for state in states.values() if not state.final]))
        target = draw(st.sampled_from([None, *states.values()]))
        guards = draw(st.lists(st.sampled_from(GUARDS), max_size=2))
        events = draw(st.sampled_from(("go", "stop", "turn", "go turn")))
        made = source.to(
            target,
            event=odd("*", "go.on", "go.*", "error.execution", Event("go", delay=1), Event("on_go")) or events,
            cond=[*guards[:1], *filter(None, [odd("warm and dry", "not wet", "In('s1')", "v", lambda: False)])],
            unless=guards[1:],
            on=some(ACTIONS, does, "raise_"),
            after=some(ACTIONS, does),
            before=odd("act", does),
            validators=odd("act"),
            internal=bool(target is source and odd(True)),
        )
        if odd(True):
            attributes[f"also{number}"] = made
    extra = odd(*EXTRAS)
    if extra:
        attributes |= extra
    try:
        return type(StateChart)("Any", (odd(StateMachine) or StateChart,), attributes)
    except InvalidDefinition:
        return None


EXTRAS: tuple[dict[str, Any], ...] = (
    *({name: method} for name in ("on_enter_s1", "on_go", "after_transition", "before_turn", "act", "warm", "idle")),
    *({flag: False} for flag in ("allow_event_without_transition", "catch_errors_as_events")),
    {"listeners": [Ear]},
    {"ignored": {"s0": frozenset({"stop"}), "s1": frozenset({"*"})}},
    {"dry": True},
)


@given(st.data())
@settings(deadline=None, max_examples=150)
def test_any_flat_chart_is_refused_or_runs_as_on_the_engine(data: st.DataObject) -> None:
    """Never something in between."""
    chart = data.draw(charts())
    if chart is None:
        return
    try:
        compile_chart(chart)
    except TypeError:
        return
    play(data, chart)
