"""Watches every instance of some charts, in any thread, whichever engine runs it: the library's two, or the compiled table.

The library's engines are tapped, not listened to: a listener becomes part of its chart (of its pickle, too), hears nothing when an
action after the transition raises, and misses charts that were made before. Of the table only what it does is noted: no guard
is asked a second time.
"""

import functools
import inspect
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from typing import Any
from weakref import WeakKeyDictionary

from statecharts.binding import Bound
from statecharts.compiler import Compiled, Step, Stepper
from statecharts.library import LackingError, lacking
from statecharts.tools.coverage.hits import Hit, Hits, Kind
from statecharts.tools.walking.naming import Naming, identity

try:
    from statemachine.engines.async_ import AsyncEngine
    from statemachine.engines.base import BaseEngine
    from statemachine.engines.sync import SyncEngine
except ImportError as error:
    raise lacking(error) from error

Function = Callable[..., Any]


class Watch:
    """From `begin` to `end`, records what instances of *charts*, each by its `identity`, do while `test` names one ("": none)."""

    def __init__(self, charts: Collection[str]) -> None:
        self.test = ""
        self._charts = frozenset(charts)
        self._namings: WeakKeyDictionary[type[Any], Naming | None] = WeakKeyDictionary()
        self._tables: list[Compiled] = []  # kept, so that no step of another table gets the id() of one of theirs
        self._steps: dict[int, tuple[tuple[str, Kind, str], ...]] = {}
        self._undo: list[Callable[[], None]] = []
        self._clear()

    def begin(self) -> None:
        """Watch from now on. Raises: LackingError: the library's engines have no such places to watch."""
        try:
            self._tap_all()
        except LackingError:
            self.end()
            raise

    def _tap_all(self) -> None:
        for engine in (BaseEngine, AsyncEngine):
            self._tap(engine, "_conditions_match", _after(self._guard))
            self._tap(engine, "_execute_transition_content", _before(self._content))
        for engine in (SyncEngine, AsyncEngine):
            self._tap(engine, "select_transitions", _after(self._selection))
        self._tap(BaseEngine, "put", _before(self._arrival))
        self._tap(BaseEngine, "_drop_external_events", _before(self._dropping))
        self._tap(Bound, "_skip", _before(self._skipped))
        self._tap(Stepper, "_take", _before(self._step))
        self._tap(Stepper, "_report", _before(self._refusal))

    def end(self) -> None:
        """Leave the classes as they were."""
        while self._undo:
            self._undo.pop()()

    def collect(self) -> Hits:
        """What was recorded since the last call."""
        tallies, steps = self._tallies, self._step_tallies
        self._clear()
        hits: Hits = Counter()
        for hit, tally in list(tallies.items()):
            hits[hit] += next(tally)
        for (test, step), tally in list(steps.items()):
            times = next(tally)
            for chart, kind, what in self._steps[step]:
                hits[Hit(chart, kind, what, test)] += times
        return Counter({hit: times for hit, times in hits.items() if hit.test})

    def _clear(self) -> None:
        # Threads count at once, and `+= 1` can be interrupted; the next of an itertools.count cannot.
        self._tallies: defaultdict[Hit, itertools.count[int]]
        self._step_tallies: defaultdict[tuple[str, int], itertools.count[int]]
        self._tallies, self._step_tallies = defaultdict(itertools.count), defaultdict(itertools.count)

    def _tap(self, owner: type[Any], name: str, wrap: Callable[[Function], Function]) -> None:
        original = owner.__dict__.get(name)
        if original is None:
            raise lacking(f"{owner.__name__}.{name}")
        self._undo.append(lambda: setattr(owner, name, original))
        setattr(owner, name, functools.wraps(original)(wrap(original)))

    # -- the library

    def _guard(self, holds: bool, engine: Any, transition: Any, trigger: Any) -> None:
        """The guard of *transition*, if it has one, was asked."""
        naming = self._naming(type(engine.sm))
        name = naming and naming.transition(transition, trigger.event)
        if naming and name in naming.guarded:
            self._note(naming, "held" if holds else "refused", name)

    def _content(
        self, engine: Any, transitions: Any, trigger: Any, _key: Any, set_target_as_state: bool = False, **_: Any
    ) -> None:
        """Actions begin; with *set_target_as_state*, those after *transitions*, which by then are taken."""
        naming = self._naming(type(engine.sm)) if set_target_as_state else None
        if naming:
            for transition in transitions:
                self._note(naming, "taken", naming.transition(transition, trigger.event))

    def _selection(self, enabled: Any, engine: Any, trigger: Any) -> None:
        """An event's transitions were selected."""
        if not enabled:
            self._unmoved(engine, trigger)

    def _arrival(self, engine: Any, trigger: Any, **_: Any) -> None:
        """An event came. If the chart has ended and takes no event without a transition, it raises, and selects nothing."""
        if not (engine.running or engine.sm.allow_event_without_transition):
            self._unmoved(engine, trigger)

    def _dropping(self, engine: Any) -> None:
        """The chart has ended; events that wait are dropped."""
        for trigger in list(engine.external_queue.queue.queue):
            if not trigger.cancelled:
                self._unmoved(engine, trigger)

    def _unmoved(self, engine: Any, trigger: Any) -> None:
        naming = self._naming(type(engine.sm))
        if naming and trigger.event:
            self._note(naming, "unmoved", naming.stuck({state.id for state in engine.sm.configuration}, trigger.event))

    def _skipped(self, bound: Bound, event: str) -> None:
        """An ignored event was not handed to the library."""
        naming = self._naming(bound.chart)
        if naming:
            self._note(naming, "unmoved", naming.stuck(set(bound.ids), event))

    # -- tables

    def _step(self, stepper: Stepper, _event: str, step: Step) -> None:
        """A step of a table is taken."""
        if id(step) not in self._steps:
            self._learn(stepper.compiled)
        next(self._step_tallies[self.test, id(step)])

    def _refusal(self, stepper: Stepper, event: str) -> None:
        """No candidate for *event* was taken, so all have refused."""
        compiled, state = stepper.compiled, stepper.state
        naming = self._naming(compiled.chart)
        if naming:
            self._note(naming, "unmoved", naming.stuck({state}, event))
            candidates = compiled.table.get((state, event), ())
            for step, name, _ in naming.steps(compiled) if candidates else ():
                if any(step is candidate for candidate in candidates):
                    self._note(naming, "refused", name)

    def _learn(self, compiled: Compiled) -> None:
        """What it means that a step of *compiled* was taken: every candidate before it has refused."""
        self._tables.append(compiled)
        self._steps.update((id(step), ()) for steps in compiled.table.values() for step in steps)
        naming = self._naming(compiled.chart)
        if naming:
            for step, name, before in naming.steps(compiled):
                own: tuple[Kind, ...] = ("taken", "held") if step.guards else ("taken",)
                known = (*((kind, name) for kind in own), *(("refused", other) for other in before))
                self._steps[id(step)] = tuple((naming.chart, kind, what) for kind, what in known)

    def _note(self, naming: Naming, kind: Kind, what: str | None) -> None:
        if what is not None:
            next(self._tallies[Hit(naming.chart, kind, what, self.test)])

    def _naming(self, chart: type[Any]) -> Naming | None:
        """The names of *chart*, or of the one that it extends; None where neither is watched."""
        try:
            return self._namings[chart]
        except KeyError:
            listed = (base for base in chart.__mro__ if identity(base) in self._charts)
            naming = self._namings[chart] = next(map(Naming, listed), None)
            return naming


def _before(note: Function) -> Callable[[Function], Function]:
    """Tell *note* of each call, with what the function was given."""

    def wrap(original: Function) -> Function:
        def watched(*given: Any, **named: Any) -> Any:
            note(*given, **named)
            return original(*given, **named)

        return watched

    return wrap


def _after(note: Function) -> Callable[[Function], Function]:
    """Tell *note* what each call returned, and what the function was given."""

    def wrap(original: Function) -> Function:
        def watched(*given: Any, **named: Any) -> Any:
            result = original(*given, **named)
            note(result, *given, **named)
            return result

        async def watched_async(*given: Any, **named: Any) -> Any:
            result = await original(*given, **named)
            note(result, *given, **named)
            return result

        return watched_async if inspect.iscoroutinefunction(original) else watched

    return wrap
