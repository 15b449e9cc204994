"""One diary for either runner of a chart, and both side by side."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from hypothesis import strategies as st
from statemachine import StateChart

from statecharts import Bound, Move, Runner, Stepper, Unexpected, compile_chart, model

Chart = type[StateChart[Any]]


class Diary:
    """Everything that happens to one actor, in order; `then` says what is done as it happens, by what it is called."""

    def __init__(self) -> None:
        self.runner: Runner
        self.lines: list[object] = []
        self.truths: frozenset[str] = frozenset()
        self.then: Callable[[str], None] = lambda _: None

    def fires(self, **events: str) -> None:
        """At the first happening called so, fire that event."""
        self.then = lambda name: self.runner.fire(events.pop(name)) if name in events else None

    def act(self, name: str) -> None:
        self.lines.append((name, self.runner.states))
        self.then(name)

    def ask(self, name: str) -> bool:
        self.act(name)
        return name in self.truths

    def unexpected(self, report: Unexpected) -> None:
        self.lines.append((report, self.runner.states))
        self.then("unexpected")

    def moved(self, move: Move) -> None:
        self.lines.append((move, self.runner.states))
        self.then("moved")


@lru_cache
def actor_class(chart: Chart) -> type[Any]:
    """Of actors that keep a diary."""
    plain = model.read(chart)
    actions = {name: _action(name) for name in model.actions(plain)}
    return type("Actor", (), {**actions, **{name: _guard(name) for name in model.guards(plain)}})


def _action(name: str) -> Callable[[Any], None]:
    return lambda self: self.diary.act(name)


def _guard(name: str) -> Callable[[Any], bool]:
    return lambda self: self.diary.ask(name)


compiled = lru_cache(compile_chart)


def kept(diary: Diary, chart: Chart) -> Any:
    actor = actor_class(chart)()
    actor.diary = diary
    return actor


def bound(chart: Chart) -> Diary:
    """On the engine, started."""
    diary = Diary()
    diary.runner = runner = Bound(chart, kept(diary, chart), diary.unexpected, diary.moved)
    runner.start()
    return diary


def stepper(chart: Chart) -> Diary:
    """On the table."""
    diary = Diary()
    diary.runner = Stepper(compiled(chart), kept(diary, chart), diary.unexpected, diary.moved)
    return diary


def play(data: st.DataObject, chart: Chart) -> None:
    """Draw events, and compare what both make of them."""
    pair, table = [bound(chart), stepper(chart)], compiled(chart)
    ids = {name: state for state, name in table.names.items()}
    events = sorted(table.events)
    inner = data.draw(st.dictionaries(st.integers(0, 30), st.sampled_from(events), max_size=8))
    for diary in pair:
        fire_within(diary, inner)
    for _ in range(data.draw(st.integers(1, 10))):
        # Mostly events that the state knows: with even odds few runs leave the first states.
        known = table.allowed(ids[pair[0].runner.states[0]])
        event = data.draw(st.sampled_from((*known * 4, *events)))
        truths = data.draw(st.frozensets(st.sampled_from(guards))) if (guards := guards_of(chart)) else frozenset()
        for diary in pair:
            diary.truths = truths
            diary.runner.fire(event)
        assert pair[0].lines == pair[1].lines
        assert pair[0].runner.states == pair[1].runner.states


@lru_cache
def guards_of(chart: Chart) -> list[str]:
    return sorted(model.guards(model.read(chart)))


def fire_within(diary: Diary, inner: dict[int, str]) -> None:
    """Fire each event of *inner* from inside the happening of that number."""
    left = dict(inner)

    def fire(_: str) -> None:
        event = left.pop(len(diary.lines), None)
        if event:
            diary.runner.fire(event)

    diary.then = fire
