"""The demo's frames fit the terminal and light one state; the final table tells what was lost."""

import asyncio
import io
from types import SimpleNamespace
from typing import Any

import inngest
import pytest
from rich.console import Console

from connect import ConnectionState, InFlight, Status, connect
from connect.cli.demo_chart import STYLES, WIDTH, draw
from connect.cli.demo_report import Report
from connect.cli.demo_screen import Scene, Screen
from connect.cli.demo_timeline import Incident, Moment, Timeline
from connect.gateway import Gateway, Ledger, Request
from connect.wire import GatewayExecutorRequestData, SDKResponse

SHOWN = list(STYLES)


def console(columns: int, lines: int = 24) -> Console:
    return Console(file=io.StringIO(), width=columns, height=lines, force_terminal=True)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A worker that was never started, with twenty requests in flight."""

    async def nothing(ctx: inngest.Context) -> None: ...

    client = inngest.Inngest(app_id="app", is_production=False)
    made = connect([(client, [client.create_function(fn_id="f", trigger=inngest.TriggerEvent(event="e"))(nothing)])])
    busy = tuple(InFlight(str(n), "run", "shop", "shop-payment", "EXECUTING", n / 5) for n in range(20))
    status = Status(state=ConnectionState.ACTIVE, in_flight=busy, heartbeat_received_ago=12.3, attempts=1000)
    monkeypatch.setattr(made, "status", lambda: status)
    return made


@pytest.fixture
def timeline(worker: Any) -> Timeline:
    """Thirty moments; some texts are longer than any line."""
    made = Timeline(worker, lambda _: None)
    for n in range(30):
        made.moments.append(Moment(n, "DRAINING → RECONNECTING", "link_lost", SHOWN[n % len(SHOWN)]))
        made.note("a note " * 40)
    return made


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (81, 25), (120, 30), (250, 70)])
def test_every_frame_fits_and_keeps_its_size(worker: Any, timeline: Timeline, columns: int, lines: int) -> None:
    terminal = console(columns, lines)
    stage = Screen(terminal, Scene(worker, Gateway(), timeline, 70))
    frame = terminal.render_lines(stage.picture(), pad=False)
    assert len(frame) == lines
    assert {sum(segment.cell_length for segment in line) for line in frame} == {columns}
    text = "\n".join("".join(segment.text for segment in line) for line in frame)
    assert "lost 0" in text
    assert "╰────────────╯" in text, "the chart is whole"
    assert f"{timeline.moments[-2].at:.2f}" in text, "the latest moment is on it"


@pytest.mark.parametrize("state", SHOWN)
def test_the_lit_state_alone_stands_out(state: ConnectionState) -> None:
    segments = list(console(100).render(draw(state, "shutdown", ("one", "two", "three"))))
    lit = "".join(segment.text for segment in segments if segment.style and segment.style.reverse)
    assert lit.split() == ([state.value, "stopping"] if state is ConnectionState.DRAINING else [state.value])
    assert WIDTH == 76, "with a frame it fills 80 columns"


@pytest.mark.parametrize(
    ("columns", "lines", "term", "fits"),
    [
        (80, 24, "xterm", True),
        (79, 24, "xterm", False),
        (80, 23, "xterm", False),
        (80, 24, "dumb", False),
    ],
)
def test_a_terminal_too_small_or_too_plain_gets_lines(
    monkeypatch: pytest.MonkeyPatch, columns: int, lines: int, term: str, fits: bool
) -> None:
    monkeypatch.setenv("TERM", term)
    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    assert Screen.fits(Console(file=out, force_terminal=True, width=columns, height=lines)) is fits
    assert not Screen.fits(Console(file=out, force_terminal=False, width=columns, height=lines))


def report(worker: Any, *, status: str = "completed", replied: bool = True, repeated: int = 0, **how: bool) -> Report:
    """The report on one run with one request."""
    answer: asyncio.Future[SDKResponse] = asyncio.get_running_loop().create_future()
    request = Request(GatewayExecutorRequestData(request_id="r"), answer, acked=[1.0])
    if replied:
        request.reply, request.via = SDKResponse(), "socket"
    ledger = Ledger(10, 1_000_000)
    ledger.add(request)
    timeline = Timeline(worker, lambda _: None)
    timeline.moments.append(Moment(9.8, "CLOSED"))
    timeline.incidents = [Incident("drain", 1.0, 0.05), Incident("drop", 2.0, 0.02, 0.02), Incident("outage", 3.0)]
    gateway: Any = SimpleNamespace(ledger=ledger, runs=[SimpleNamespace(status=status)])
    shop: Any = SimpleNamespace(repeated=repeated)
    return Report(gateway, worker, timeline, shop, **how)


async def test_the_table_tells_what_happened(worker: Any) -> None:
    terminal = console(80)
    with terminal.capture() as captured:
        terminal.print(report(worker))
    text = captured.get()
    assert "moved in 50 ms, gap of work 0 ms" in text
    assert "gap 20 ms; never back (API down)" in text
    assert "Nothing was lost" in text


@pytest.mark.parametrize("fault", [{"replied": False}, {"status": "failed"}, {"repeated": 1}])
async def test_whatever_is_lost_or_done_twice_fails_the_demo(worker: Any, fault: dict[str, Any]) -> None:
    assert report(worker).is_good
    assert not report(worker, **fault).is_good
    assert report(worker, **fault).exit_code == 1


async def test_ctrl_c_excuses_runs_that_have_not_ended_and_nothing_else(worker: Any) -> None:
    assert report(worker, status="running", interrupted=True).exit_code == 130
    assert report(worker, replied=False, interrupted=True).exit_code == 1
