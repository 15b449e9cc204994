"""The demo's live screen: the lifecycle with the present state lit, the work in flight, the timeline and the progress."""

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from rich.align import Align
from rich.console import Console, Group, RenderableType
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from connect.cli.demo_chart import HEIGHT, STYLES, draw
from connect.cli.demo_timeline import Moment, Timeline
from connect.gateway import Gateway
from connect.status import ConnectionState, Status
from connect.worker import WorkerConnection

FRAME_SECONDS: Final = 0.08
DWELL: Final = 0.45
"""Seconds that a state is shown at least, although some last a hundredth of that. The timeline has the true times."""
LAST: Final = 0.9
"""Seconds that the last picture stays."""
WORK_STYLES: Final = {"EXECUTING": "green", "REPLIED": "blue", "BUFFERED": "magenta"}


@dataclass(frozen=True)
class Scene:
    """What the screen shows. `runs` is how many runs there will be at the end."""

    worker: WorkerConnection
    gateway: Gateway
    timeline: Timeline
    runs: int


class Screen:
    """The picture, redrawn on the terminal's alternate screen while the context lasts."""

    def __init__(self, console: Console, scene: Scene) -> None:
        self._scene = scene
        self._live = Live(
            console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        self._seen = 0
        self._waiting: deque[tuple[ConnectionState, str]] = deque()
        self._shown = (ConnectionState.CONNECTING, "start")
        self._shown_at = 0.0

    @staticmethod
    def fits(console: Console) -> bool:
        """Whether *console* is a terminal that can show the picture."""
        roomy = console.width >= 80 and console.height >= 24
        return console.is_terminal and not console.is_dumb_terminal and roomy and console.encoding.startswith("utf")

    async def __aenter__(self) -> Self:
        self._live.start()
        self._drawing = asyncio.create_task(self._draw_on())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            if error is None:
                await self._show_last()
        finally:
            self._drawing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._drawing
            self._live.stop()

    async def _draw_on(self) -> None:
        while True:
            self._live.update(self.picture(), refresh=True)
            await asyncio.sleep(FRAME_SECONDS)

    async def _show_last(self) -> None:
        """Wait until the last states have been shown."""
        self._look()
        await asyncio.sleep(len(self._waiting) * DWELL + LAST)

    def picture(self) -> Layout:
        """One frame."""
        self._look()
        status = self._scene.worker.status()
        middle = Layout(name="middle")
        middle.split_row(
            Layout(self._panel(f"in flight · {len(status.in_flight)}", self._work(status)), ratio=4),
            Layout(self._panel("timeline", self._timeline()), ratio=5),
        )
        whole = Layout()
        whole.split_column(Layout(self._chart(status), size=HEIGHT + 2), middle, Layout(self._progress(), size=3))
        return whole

    # -- the lifecycle

    def _look(self) -> None:
        """Queue the changes of state since the last look; show the next one if the present one has been shown for DWELL."""
        now, moments = self._scene.timeline.now(), self._scene.timeline.moments
        self._waiting.extend((each.state, each.detail) for each in moments[self._seen :] if each.state)
        self._seen = len(moments)
        if self._waiting and now - self._shown_at >= DWELL:
            self._shown, self._shown_at = self._waiting.popleft(), now

    def _chart(self, status: Status) -> Panel:
        state, event = self._shown
        facts = (
            f"link       {self._link(status)}",
            f"heartbeat  {_ago(status.heartbeat_received_ago)}",
            f"attempts   {status.attempts} to connect",
        )
        title = f"[bold]a worker's life[/] · {self._scene.timeline.now():4.1f} s"
        return Panel(Align.center(draw(state, event, facts)), title=title, title_align="left", border_style="dim")

    def _link(self, status: Status) -> str:
        link = status.active_connection_id
        return f"…{link[-6:]} on {self._scene.timeline.group}" if link else "none"

    # -- below the lifecycle

    def _panel(self, title: str, body: RenderableType) -> Panel:
        return Panel(body, title=title, title_align="left", border_style="dim")

    def _work(self, status: Status) -> Table:
        table = Table.grid(padding=(0, 1), expand=True)
        for justify, ratio in (("left", None), ("left", None), ("left", 1), ("right", None)):
            table.add_column(justify=justify, ratio=ratio, no_wrap=True)  # type: ignore[arg-type]
        for request in sorted(status.in_flight, key=lambda each: -each.age):
            style = WORK_STYLES.get(request.state, "")
            bar = _bar(2.0, request.age, style)
            name = request.function_slug.removeprefix("shop-")
            table.add_row(Text(name), Text(request.state.lower(), style), bar, f"{request.age:.1f} s")
        return table

    def _timeline(self) -> Group:
        return Group(*(_line(each) for each in self._scene.timeline.moments[-self._rows :]))

    @property
    def _rows(self) -> int:
        return max(1, self._live.console.height - HEIGHT - 2 - 3 - 2)

    def _progress(self) -> Panel:
        runs = self._scene.gateway.runs
        done = sum(run.status == "completed" for run in runs)
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(no_wrap=True)
        grid.add_column(ratio=1)
        grid.add_column(no_wrap=True)
        bar = _bar(self._scene.runs, done, "green")
        grid.add_row(f"runs {done:>2}/{self._scene.runs}", bar, self._counts())
        return Panel(grid, border_style="dim")

    def _counts(self) -> Text:
        counts, lost = self._scene.gateway.ledger.summary(), self._scene.timeline.lost
        answered = counts["socket"] + counts["flush"]
        text = Text(f"requests {counts['accepted']:>3} · answered {answered:>3} · flushed {counts['flush']} · ")
        return text.append(f"lost {lost}", "bold red" if lost else "bold green")


def _bar(total: float, completed: float, style: str) -> ProgressBar:
    return ProgressBar(total, min(completed, total), style="dim", complete_style=style, finished_style=style)


def _line(moment: Moment) -> Text:
    style = f"bold {STYLES[moment.state]}" if moment.state else ""
    line = Text(f"{moment.at:5.2f}  ", "dim", no_wrap=True, overflow="ellipsis").append(moment.text, f"not dim {style}")
    return line.append(f"  {moment.detail}") if moment.detail else line


def _ago(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s ago"
