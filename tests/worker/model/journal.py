"""Records what running charts do, step by step, on either engine, from outside of the worker."""

import asyncio
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from statemachine import StateChart

from connect.connection import Connection as ConnectionActor
from connect.link import Link as LinkActor
from connect.request import Request as RequestActor
from statecharts import CHARTS, Stepper, model
from statecharts.compiler import Compiled
from statecharts.compiler import Step as TableStep
from statecharts.tools.walking.naming import Naming
from statecharts.tools.walking.paths import Arrival

ACTORS = dict(zip(CHARTS, (ConnectionActor, LinkActor, RequestActor), strict=True))


@dataclass(frozen=True, slots=True)
class Asked:
    """A guard's answer, and after how many steps of its chart it was asked."""

    steps: int
    guard: str
    answer: bool


class Journal:
    """The life of one chart: its steps, each an event and what followed from it, and the answers of its guards."""

    def __init__(self, chart: type[StateChart[Any]], actor: Any) -> None:
        self.chart = chart
        self.actor = actor
        self.steps: list[Arrival] = []
        self.asked: list[Asked] = []

    def begin(self, taken: str, configuration: frozenset[str]) -> None:
        """An event took a transition."""
        self.steps.append(Arrival(configuration, frozenset({taken})))

    def go_on(self, taken: str, configuration: frozenset[str]) -> None:
        """The same event took another transition: in another region, or because of the first."""
        self.steps[-1] = Arrival(configuration, self.steps[-1].taken | {taken})

    def __str__(self) -> str:
        return "\n".join(f"  {' + '.join(sorted(step.taken))}" for step in self.steps) or "  nothing"


class Journals:
    """The journals of every chart that is made from now on, in that order. On one loop."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.all: list[Journal] = []
        self._namings = {chart: Naming(chart) for chart in CHARTS}
        self._watchers: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._watch_charts(patch)
        self._watch_tables(patch)
        self._watch_guards(patch)

    def of(self, chart: type[StateChart[Any]]) -> list[Journal]:
        """The journals of *chart*'s instances."""
        return [journal for journal in self.all if journal.chart is chart]

    async def until(self, condition: Callable[[], bool], within: float = 5.0) -> None:
        """Wait until *condition* holds; it is asked at every step of any chart. Raises: TimeoutError.

        It has its time twice: a machine that stood still does not fail a test.
        """
        held = asyncio.get_running_loop().create_future()
        self._watchers.append((condition, held))
        self.look()
        await asyncio.wait([held], timeout=within)
        await asyncio.wait([held], timeout=within)
        if not held.done():
            held.cancel()
            raise TimeoutError

    def look(self) -> None:
        """Ask the conditions again: something has changed."""
        for condition, held in list(self._watchers):
            if held.done() or condition():
                self._watchers.remove((condition, held))
                if not held.done():
                    held.set_result(None)

    def step(self, journal: Journal, taken: str, configuration: frozenset[str], *, new: bool) -> None:
        """The chart of *journal* took a transition."""
        (journal.begin if new else journal.go_on)(taken, configuration)
        self.look()

    def transition(self, chart: type[StateChart[Any]], transition: Any, event: Any) -> str:
        """The name of the library's *transition*, under *event*."""
        return self._namings[chart].transition(transition, event) or ""

    def table_step(self, compiled: Compiled, step: TableStep) -> str:
        """The name of the transition that is *step* in the table."""
        return next(name for known, name, _ in self._namings[compiled.chart].steps(compiled) if known is step)

    def _journal(self, actor: Any) -> Journal | None:
        return next((journal for journal in reversed(self.all) if journal.actor is actor), None)

    def _watch_charts(self, patch: pytest.MonkeyPatch) -> None:
        begin = StateChart.__init__

        @functools.wraps(begin)
        def watched(machine: Any, actor: Any = None, *args: Any, listeners: Any = None, **data: Any) -> None:
            ears = []
            if type(machine) in CHARTS:
                self.all.append(Journal(type(machine), actor))
                ears.append(_Ear(self, self.all[-1], machine))
            begin(machine, actor, *args, listeners=[*(listeners or ()), *ears], **data)
            self.look()

        send = StateChart.send

        @functools.wraps(send)
        def watched_send(machine: Any, event: str, **data: Any) -> Any:
            for ear in machine.active_listeners:
                if isinstance(ear, _Ear):
                    ear.turn()
            return send(machine, event, **data)

        patch.setattr(StateChart, "__init__", watched)
        patch.setattr(StateChart, "send", watched_send)

    def _watch_tables(self, patch: pytest.MonkeyPatch) -> None:
        begin, take = Stepper.__init__, Stepper._take

        @functools.wraps(begin)
        def watched_begin(stepper: Stepper, compiled: Any, actor: Any, *told: Any) -> None:
            self.all.append(Journal(compiled.chart, actor))
            begin(stepper, compiled, actor, *told)

        @functools.wraps(take)
        def watched_take(stepper: Stepper, event: str, step: TableStep) -> None:
            journal = self._journal(stepper.actor)
            taken = self.table_step(stepper.compiled, step)
            try:
                take(stepper, event, step)
            finally:
                if journal:
                    self.step(journal, taken, frozenset({stepper.state}), new=True)

        patch.setattr(Stepper, "__init__", watched_begin)
        patch.setattr(Stepper, "_take", watched_take)

    def _watch_guards(self, patch: pytest.MonkeyPatch) -> None:
        for chart, actor_class in ACTORS.items():
            for name in model.guards(model.read(chart)):
                patch.setattr(actor_class, name, self._asked(name, getattr(actor_class, name)))

    def _asked(self, name: str, guard: Callable[[Any], bool]) -> Callable[[Any], bool]:
        @functools.wraps(guard)
        def watched(actor: Any) -> bool:
            journal, answer = self._journal(actor), guard(actor)
            if journal:
                journal.asked.append(Asked(len(journal.steps), name, answer))
            return answer

        return watched


class _Ear:
    """Listens to one chart of the library's engine. It is a class of its own, since the library takes any attribute of a listener
    for a callback.
    """

    def __init__(self, journals: Journals, journal: Journal, machine: Any) -> None:
        self._journals = journals
        self._journal = journal
        self._machine = machine
        self._last: object = None
        self._fresh = True

    def turn(self) -> None:
        """The chart is given an event."""
        self._fresh = True

    def after_transition(self, transition: Any, event: Any, event_data: Any) -> None:
        taken = self._journals.transition(self._journal.chart, transition, event)
        new = self._fresh or (bool(event) and event_data.trigger_data is not self._last)
        self._fresh, self._last = False, event_data.trigger_data
        configuration = frozenset(state.id for state in self._machine.configuration)
        self._journals.step(self._journal, taken, configuration, new=new)
