"""What the worlds of the three charts share: they make the moves of a path happen, and wait for each."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import inngest
import pytest
from journal import Journal, Journals
from rig import PATIENT, Apps, Running, quick_retry
from routes import Needs, Path, wording

from connect import Deadlines
from connect.gateway import Gateway
from statecharts import Connection, model
from statecharts.tools.drawing import trail
from statecharts.tools.walking.paths import Move

Broken = Mapping[str, tuple[type[Any], str, int]]

SHORT = 0.05
"""Seconds, for a time limit that is to run out."""
LONG = 30.0
"""Seconds, for one that is not."""


class Job:
    """A function that runs until it is released, or cancelled."""

    def __init__(self, apps: Apps, name: str) -> None:
        self.slug = f"app-{name}"
        self.running = asyncio.Event()
        self.release = asyncio.Event()

        @apps.function(name)
        async def job(ctx: inngest.Context) -> str:
            self.running.set()
            while not self.release.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await self.release.wait()
            return name


class World:
    """A gateway and a worker on one loop, which make the moves of a path.

    A subclass has a method for each event of its chart, which brings the event about by what happens outside of the worker.
    """

    needs: ClassVar[Needs] = {}
    broken: ClassVar[Broken] = {}
    """By state, the action whose failure is the path's `error_execution` there: its owner, its name, its how manieth call."""

    def __init__(
        self,
        path: Path,
        gw: Gateway,
        apps: Apps,
        start: Callable[..., Any],
        breaks: Callable[..., None],
        patch: pytest.MonkeyPatch,
    ) -> None:
        self.path = path
        self.gw = gw
        self.jobs = [Job(apps, "long"), Job(apps, "brief")]
        self.here = path.start
        self.move = path.moves[0]
        self.journals = Journals(patch)
        self._start = start
        self._breaks = breaks
        self._made = 0

    # -- what a subclass says

    @property
    def subject(self) -> Journal | None:
        """The journal of the path's chart, once there is one."""
        return next(iter(self.journals.of(self.path.chart)), None)

    def shown(self) -> list[set[str]]:
        """The chart's states by name, as the worker shows them in public."""
        raise NotImplementedError

    async def prepare(self) -> None:
        """Start the worker, and bring the chart into its initial state."""
        raise NotImplementedError

    # -- playing

    async def play(self) -> None:
        """Make every move of the path. After each, the chart must have done what the model did, and stand where it stands."""
        self._break()
        await self.prepare()
        for move in self.path.moves:
            self.move = move
            await self._bring_about(move)
            await self._taken()
            self.here = self.path.stops[self._made]
            self._stands()
        self._check_guards()

    async def comes(self) -> None:
        """Wait until the chart has taken the present move's transition."""
        await self.journals.until(lambda: len(self._steps) > self._made)

    async def end(self) -> None:
        """Release everything that waits."""
        for job in self.jobs:
            job.release.set()
        for script in (self.gw.starts, self.gw.sockets, self.gw.flushes):
            script.clear()
            script.release()
        self.gw.faults.clear()
        for connection in self.gw.connections:
            connection.drop()  # what it holds will never be written

    async def start(self, *, ready: bool, deadlines: Deadlines = PATIENT, **options: Any) -> Running:
        """Start a worker on this loop."""
        options = {"flush_timeout": LONG, **options}
        running: Running = await self._start(
            ready=ready, isolation="none", retry=quick_retry(), deadlines=deadlines, **options
        )
        await self.journals.until(lambda: bool(self.journals.of(Connection)))
        return running

    async def work(self, *jobs: Job) -> list[str]:
        """Have the worker run functions; their request ids."""
        runs = [self.gw.start_run(job.slug) for job in jobs]
        async with asyncio.timeout(5):
            await asyncio.gather(*(job.running.wait() for job in jobs))
        return [run.requests[0] for run in runs]

    def _break(self) -> None:
        for event, stop in zip(self.path.events, self.path.stops, strict=False):
            if event == "error_execution":
                self._breaks(*next(self.broken[state] for state in stop if state in self.broken))

    async def error_execution(self) -> None:
        """Nothing to do: an action of the state raises when the state is entered, see `broken`."""

    async def _bring_about(self, move: Move) -> None:
        method = getattr(self, move.event, None)
        if method is None:
            pytest.fail(
                f"no method makes {move.event!r} happen to a {self.path.chart.__name__}: "
                f"write `async def {move.event}(self)` in {type(self).__module__}.{type(self).__name__}"
            )
        try:
            await method()
        except TimeoutError as error:
            self._fail(f"{wording(move)} was not brought about: {error}")

    async def _taken(self) -> None:
        move, wanted = self.path.moves[self._made], self.path.arrivals[: self._made + 1]
        try:
            await self.comes()
        except TimeoutError:
            self._fail(f"nothing came of {wording(move)}")
        self._made += 1
        if tuple(self._steps[: self._made]) != wanted:
            self._fail(f"{wording(move)} should take {' + '.join(sorted(wanted[-1].taken))}")

    def _stands(self) -> None:
        if len(self._steps) > self._made:
            return  # it has moved on by itself, which the next move checks
        chart = model.read(self.path.chart)
        names = {state.name for state in chart.states if state.id in self.here}
        for shown in self.shown():
            assert shown == names, f"after {self.path.moves[self._made - 1].event} it is shown in {shown}, not {names}"

    def _check_guards(self) -> None:
        """For a goal "… refused", check that the guard was asked at the last move and said no."""
        journal = self.subject
        assert journal
        near = [asked for asked in journal.asked if asked.steps in (self._made - 1, self._made)]
        for edge in model.read(self.path.chart).edges:
            if any(f"[{edge.guard}]" in goal and goal.endswith("refused") for goal in self.path.goals) and edge.guard:
                assert any(asked.guard == edge.guard and not asked.answer for asked in near), journal.asked

    @property
    def _steps(self) -> list[Any]:
        return self.subject.steps if self.subject else []

    def _fail(self, why: str) -> None:
        owner = f"{type(self).__module__}.{type(self).__name__}"
        lines = [
            why,
            f"(the path: {self.path}; {owner} says how the world makes its moves)",
            f"what the chart did:\n{self.subject or '  nothing'}",
            f"the gateway's log:\n{self.gw.log.text(20)}",
            trail.render(model.read(self.path.chart), [step.taken for step in self._steps]),
        ]
        pytest.fail("\n".join(lines), pytrace=False)
