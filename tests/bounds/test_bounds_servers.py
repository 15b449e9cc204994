"""What peers do to the HTTP servers of this package: they bound time, connections and sizes, and obey no foreign page."""

import asyncio
import contextlib
import json
import logging
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from unittest.mock import Mock

import inngest
import pytest
from aiohttp import web

from connect import ConnectionState, connect
from connect.gateway import Gateway
from connect.lab.controls import Controls
from connect.serving import connections, server
from connect.watching import page
from connect.watching.feed import Feed
from connect.watching.http import listen

MIB = 1 << 20


@contextlib.asynccontextmanager
async def worker_with_a_page() -> AsyncIterator[int]:
    async with Gateway() as gateway:
        client = inngest.Inngest(app_id="app", api_base_url=gateway.url, is_production=False)

        @client.create_function(fn_id="nothing", trigger=inngest.TriggerEvent(event="nothing"))
        async def nothing(ctx: inngest.Context) -> None: ...

        with free_port() as port:
            worker = connect([(client, [nothing])], shutdown_signals=[], http=f"127.0.0.1:{port}", status_page=True)
        running = asyncio.create_task(worker.start())
        await worker.wait_for_state(ConnectionState.ACTIVE)
        yield port
        await worker.close()
        await running


@contextlib.contextmanager
def free_port() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]


@contextlib.asynccontextmanager
async def lab() -> AsyncIterator[int]:
    async with Gateway() as gateway:
        feed = Feed()
        controls = Controls(gateway, feed, Mock())
        served = await listen([*page.Page(feed, token=controls.token).routes(), *controls.routes()], "127.0.0.1", 0, "")
        yield served.port
        await served.close()


@contextlib.asynccontextmanager
async def embedded_gateway() -> AsyncIterator[int]:
    async with Gateway() as gateway:
        yield gateway.port


SERVERS = {"gateway": embedded_gateway, "lab": lab, "worker": worker_with_a_page}


@pytest.fixture(params=SERVERS)
async def port(request: pytest.FixtureRequest) -> AsyncIterator[int]:
    """The port of each server in turn."""
    async with SERVERS[request.param]() as number:
        yield number


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that wait for a third of a second where they else wait for 10, and for half a one instead of 75."""
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.5)
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.3)
    monkeypatch.setattr(server, "_LINGER_SECONDS", 0.1)


def head(port: int, line: str = "GET /nothing", **headers: str) -> bytes:
    """A request's line and headers."""
    fields = {"Host": f"127.0.0.1:{port}", **{name.replace("_", "-"): text for name, text in headers.items()}}
    return "\r\n".join([f"{line} HTTP/1.1", *(f"{name}: {text}" for name, text in fields.items()), "\r\n"]).encode(
        "latin-1"
    )


@contextlib.asynccontextmanager
async def dialled(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection, dropped at the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def ask(port: int, sent: bytes, seconds: float = 5.0) -> bytes:
    """What a connection answers to *sent* until it ends, its answer does, or *seconds* have passed."""
    got = b""
    async with dialled(port) as (reader, writer):
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(seconds):
                writer.write(sent)
                await writer.drain()
                while b"\r\n\r\n" not in got and (more := await reader.read(4096)):
                    got += more
    return got


def status(answer: bytes) -> int:
    found = re.match(rb"HTTP/1\.[01] (\d{3}) ", answer)
    return int(found[1]) if found else 0


# -- time --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("impatient")
async def test_half_a_request_ends_in_time(port: int) -> None:
    """Nothing, half a head, half a body, and each of them byte by byte; also after a request that was whole."""
    whole, cut = head(port), head(port)[:-3]
    post = head(port, "POST /e/key", Content_Length="100")
    chunked = head(port, "POST /e/key", Transfer_Encoding="chunked")
    stuck = [b"", cut, post, post + b"x" * 99, chunked, chunked + b"5\r\nab", whole + cut]

    async def ends(start: bytes, drip: bytes) -> bool:
        async with dialled(port) as (reader, writer):
            writer.write(start)
            ended = asyncio.create_task(reader.read())
            for _ in range(100):
                if (await asyncio.wait([ended], timeout=0.05))[0]:
                    break
                writer.write(drip)
            ended.cancel()
            await asyncio.wait([ended])
            return not ended.cancelled()

    cases = [(start, drip) for start in stuck for drip in (b"", b"x")]
    assert await asyncio.gather(*(ends(*case) for case in cases)) == [True] * len(cases)


# -- connections -------------------------------------------------------------------------------------------------------------------


async def test_a_probe_gets_through_whatever_else_is_open() -> None:
    """40 pages are open, and more idle and half-open connections than the server takes; it drops those that wait longest."""
    async with contextlib.AsyncExitStack() as stack:
        port = await stack.enter_async_context(worker_with_a_page())
        pages, idle = [], []
        for _ in range(40):
            reader, writer = await stack.enter_async_context(dialled(port))
            writer.write(head(port, "GET /feed"))
            pages.append(status(await reader.readuntil(b"\r\n\r\n")))
        for number in range(server.CONNECTIONS):
            reader, writer = await stack.enter_async_context(dialled(port))
            writer.write(head(port)[:-3] if number % 2 else b"")
            idle.append(asyncio.create_task(reader.read(1)))
            if number % 50 == 0:
                assert status(await ask(port, head(port, "GET /livez"))) == 200
        assert status(await ask(port, head(port, "GET /livez"))) == 200
        assert pages == [200] * 40
        dropped, kept = await asyncio.wait(idle, timeout=0.1)
        assert len(dropped) >= 40
        assert idle[-1] in kept
        for each in idle:
            each.cancel()
        await asyncio.wait(idle)
        assert all(each.cancelled() or each.exception() or not each.result() for each in idle)


async def test_a_connection_for_which_there_is_no_room_is_refused_and_said_so(caplog: pytest.LogCaptureFixture) -> None:
    """All others are busy with a request. Once one is not, it makes room."""
    goes_on = asyncio.Event()

    async def busy(_: web.Request) -> web.Response:
        await goes_on.wait()
        return web.Response()

    served = server.Server([web.get("/busy", busy)], "127.0.0.1", connections=2)
    await served.start(0)
    async with dialled(served.port) as (first, one), dialled(served.port) as (_, other):
        for writer in (one, other):
            writer.write(head(served.port, "GET /busy"))
        while not [record for record in caplog.records if record.levelno == logging.WARNING]:
            assert status(await ask(served.port, head(served.port))) in (0, 404)
        assert await ask(served.port, head(served.port)) == b""
        assert {record.getMessage() for record in caplog.records if record.levelno == logging.WARNING} == {
            "refused an HTTP connection: 2 are busy, the most at once"
        }
        goes_on.set()
        await first.readuntil(b"\r\n\r\n")
        assert status(await ask(served.port, head(served.port))) == 404
    await served.close()


# -- requests that are none --------------------------------------------------------------------------------------------------------


READ_HEADERS = (
    "Authorization",
    "Content-Encoding",
    "Content-Type",
    "Host",
    "Last-Event-ID",
    "Origin",
    "Sec-Fetch-Dest",
    "Sec-Fetch-Mode",
    "Sec-Fetch-Site",
    "X-Lab-Token",
)
"""The headers that a server of ours reads. A peer may send bytes that are no UTF-8."""


def nonsense(port: int) -> list[bytes]:
    """Requests of every kind that no server can serve."""
    post = [
        b"",
        b"null",
        b"3",
        b"[null]",
        b'"text"',
        b'{"events": 3}',
        b'{"name": 3}',
        b'{"name": ["a"]}',
        b'{"name": {"a": 1}}',
        b'{"name": ""}',
        b'{"name": "a", "data": []}',
        b'{"name": "a", "data": NaN}',
        b'{"name": "a", "data": {"b": NaN}}',
        b'{"name": "a", "data": {"b": -1e999}}',
        rb'{"name": "\ud800"}',
        rb'{"name": "a", "data": {"\udfff": 1}}',
        b'{"name": ' + b"9" * 5000 + b"}",
        b'[{"name": "a"}, 3]',
        b"[" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b"\xff\xfe",
    ]
    bodies = [
        head(port, f"POST {path}", Content_Length=str(len(body))) + body
        for path in ("/e/key", "/invoke", "/do/drop", "/v0/connect/flush", "/status")
        for body in post
    ]
    return [
        *bodies,
        b"\x00\x01\xff" * 100,
        b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03" + bytes(200),
        head(port, "FOO /"),
        head(port, "DELETE /feed"),
        head(port, "OPTIONS *"),
        head(port, "CONNECT ["),
        head(port, "GET http://[::1/"),
        head(port, "GET /%ff%fe%zz"),
        head(port, "GET /v0/runs/%ff/actions"),
        head(port, "POST /do/%ff%00"),
        head(port, "GET /\xff\xfe"),
        head(port, "GET /" + "a" * 100_000),
        head(port, X="x" * 100_000),
        head(port, **{f"X{number}": "" for number in range(1000)}),
        head(port, Host="\xff\xfe"),
        head(port, Origin="http://[bad"),
        *(
            head(port, line, **{name: text})
            for line in ("GET /nothing", "POST /do/drop", "POST /invoke", "POST /v0/connect/flush")
            for name in READ_HEADERS
            for text in ("\xff\xfe", "\xc3", "\xed\xa0\x80")
        ),
        head(port, "POST /e/key", Content_Length="-1"),
        head(port, "POST /e/key", Content_Length="9" * 5000),
        head(port, "POST /e/key", Transfer_Encoding="gzip"),
        head(port, "POST /e/key", Transfer_Encoding="chunked") + b"zz\r\n",
        head(port, "POST /e/key", Content_Length="3", Expect="nonsense") + b"abc",
        head(port, "POST /e/key", Content_Length="3", Content_Encoding="gzip") + b"abc",
        head(port, "GET /v0/connect", Upgrade="websocket", Connection="upgrade", Sec_WebSocket_Key="x"),
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ]


async def test_a_bad_request_is_the_senders_fault_and_one_line(port: int, caplog: pytest.LogCaptureFixture) -> None:
    """The answer is 4xx, whatever came; nothing of it is logged above DEBUG, and no traceback."""
    with caplog.at_level(logging.DEBUG, "connect.http"):
        for sent in nonsense(port):
            caplog.clear()
            assert 400 <= status(await ask(port, sent)) < 500, sent[:200]
            said = [
                record for record in caplog.records if record.name.startswith(("connect.http", "aiohttp", "asyncio"))
            ]
            assert [record.getMessage() for record in said if record.levelno > logging.DEBUG or record.exc_info] == []
            assert len(said) <= 1


async def test_no_id_of_an_event_breaks_the_feed() -> None:
    """The page is served from the beginning."""
    async with worker_with_a_page() as port:
        async with dialled(port) as (reader, writer):
            writer.write(head(port, "GET /feed"))
            await reader.readuntil(b"data: ")
            known = json.loads(await reader.readuntil(b"\n"))["session"]
        for session in (known, "other"):
            for number in ("9" * 5000, "\xb2", "-1", "", "0x5", "1e5", "9" * 17):
                asked = head(port, "GET /feed", Last_Event_ID=f"{session}-{number}")
                assert status(await ask(port, asked)) == 200, asked[:200]


# -- sizes -------------------------------------------------------------------------------------------------------------------------


async def test_no_request_costs_a_gateway_memory() -> None:
    """A body of 300 MB cost 661 MB. A message of the worker's socket is bounded, too."""
    process = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-m", "connect", "gateway", "--port", "0"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    try:
        found = re.search(r":(\d+)", process.stdout.readline())
        assert found
        port, before = int(found[1]), peak(process.pid)
        piece = bytes(MIB)
        chunk = b"100000\r\n" + piece + b"\r\n"
        upgrade = {"Upgrade": "websocket", "Connection": "upgrade", "Sec_WebSocket_Key": "MDEyMzQ1Njc4OWFiY2RlZg=="}
        opening = head(port, "GET /v0/connect", Sec_WebSocket_Version="13", **upgrade)
        fragment = b"\x02\xff" + len(piece).to_bytes(8, "big") + bytes(4) + piece
        more = b"\x00" + fragment[1:]
        for start, again in (
            (head(port, "POST /e/key", Content_Length="300000000"), piece),
            (head(port, "POST /e/key", Transfer_Encoding="chunked"), chunk),
            (head(port, "POST /e/key", Transfer_Encoding="chunked", Content_Encoding="gzip"), chunk),
            (head(port, "POST /v0/connect/flush", Transfer_Encoding="chunked"), chunk),
            (head(port, "GET /v0/", Transfer_Encoding="chunked"), chunk),
            (head(port, "POST /nothing", Transfer_Encoding="chunked"), chunk),
            (opening + b"\x82\xff" + (1 << 40).to_bytes(8, "big") + bytes(4), piece),
            (opening + fragment, more),
        ):
            await _pour(port, start, again, 150)
        assert peak(process.pid) - before < 80 * MIB
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def _pour(port: int, start: bytes, again: bytes, times: int) -> None:
    """Send *start*, and *again* so many *times* or until the server hangs up."""
    async with dialled(port) as (_, writer):
        with contextlib.suppress(ConnectionError):
            writer.write(start)
            for _ in range(times):
                writer.write(again)
                await writer.drain()


def peak(process: int) -> int:
    """The most memory that *process* ever had, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    assert found
    return int(found[1]) * 1024


@contextlib.asynccontextmanager
async def page_of(made: list[int], changes: Callable[[float], Awaitable[object]], text: str = "") -> AsyncIterator[int]:
    """The port of a page that shows *text*, and again after *changes*; *made* gets an item for each snapshot."""
    feed = Mock(
        session="s", number=1, moments=lambda *_: [], state=lambda: made.append(1) or {"text": text}, wait=changes
    )
    served = server.Server(page.Page(feed).routes(), "127.0.0.1")
    await served.start(0)
    yield served.port
    await served.close()


async def test_so_many_pages_are_open_at_once_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """One snapshot is made for all that come at the same time. The next one is told to come later, until one is closed."""
    monkeypatch.setattr(page, "FEED_SECONDS", 60.0)
    made: list[int] = []
    changed = asyncio.Event()

    async def once(_: float) -> None:
        await changed.wait()
        changed.clear()

    async with page_of(made, once) as port, contextlib.AsyncExitStack() as stack:
        for _ in range(page.PAGES):
            reader, writer = await stack.enter_async_context(dialled(port))
            writer.write(head(port, "GET /feed"))
            assert status(await reader.readuntil(b"\n\n")) == 200
        assert len(made) == 1
        assert status(await ask(port, head(port, "GET /feed"))) == 503
        writer.transport.abort()
        monkeypatch.setattr(page, "FEED_SECONDS", 0.0)
        statuses = []
        for _ in range(10):
            changed.set()  # a page that is gone is noticed when something is written to it
            statuses.append(status(await ask(port, head(port, "GET /feed"))))
        assert 200 in statuses


async def test_a_page_that_does_not_read_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then at most one snapshot waits for it."""
    monkeypatch.setattr(page, "SLOW_SECONDS", 0.1)
    monkeypatch.setattr(page, "IDLE_SECONDS", 0.01)
    monkeypatch.setattr(page, "FEED_SECONDS", 0.0)
    made: list[int] = []
    async with page_of(made, _soon, "x" * MIB) as port, dialled(port) as (reader, writer):
        writer.transport.pause_reading()
        writer.write(head(port, "GET /feed"))
        await asyncio.sleep(0.35)
        count = len(made)
        await asyncio.sleep(0.15)
        assert len(made) == count < 20
        writer.transport.resume_reading()
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(5):
                await reader.read()
        assert len(made) == count


async def _soon(_: float) -> None:
    await asyncio.sleep(0)


# -- trust -------------------------------------------------------------------------------------------------------------------------

FOREIGN: list[tuple[str, dict[str, str]]] = [
    ("GET", {"Host": "evil.example"}),
    ("GET", {"Host": "evil.example:{port}"}),
    ("GET", {"Host": "127.0.0.1.evil.example:{port}"}),
    ("GET", {"Host": "localhost.evil.example:{port}"}),
    ("GET", {"Host": "127.0.0.1@evil.example:{port}"}),
    ("GET", {"Host": "[::1].evil.example:{port}"}),
    ("GET", {"Host": "0.0.0.0:{port}"}),
    ("GET", {"Host": "127.0.0.1:{port}:1"}),
    ("GET", {"Host": ""}),
    ("POST", {"Host": "evil.example:{port}", "Origin": "http://evil.example:{port}"}),
    ("GET", {"Origin": "http://evil.example"}),
    ("GET", {"Origin": "null"}),
    ("GET", {"Origin": ""}),
    ("GET", {"Origin": "http://127.0.0.1:1"}),
    ("GET", {"Origin": "http://localhost:{port}"}),
    ("GET", {"Origin": "http://evil.example", "Upgrade": "websocket", "Connection": "upgrade"}),
    ("POST", {"Origin": "http://evil.example"}),
    ("POST", {"Origin": "http://127.0.0.1:{port}.evil.example"}),
    ("POST", {"Origin": "http://127.0.0.1:{port}@evil.example"}),
    ("POST", {"Sec-Fetch-Site": "cross-site"}),
    ("POST", {"Sec-Fetch-Site": "same-site"}),
    ("POST", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}),
    ("GET", {"Sec-Fetch-Site": "cross-site"}),
    ("HEAD", {"Sec-Fetch-Site": "same-site"}),
    ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}),
    ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}),
    ("GET", {"Host": "evil.docker.internal:{port}"}),
    ("GET", {"Host": "host.docker.internal.evil.example:{port}"}),
    ("POST", {"Host": "host.docker.internal:{port}", "Origin": "http://evil.example"}),
]
OWN: list[tuple[str, dict[str, str]]] = [
    ("GET", {}),
    ("POST", {}),
    ("GET", {"Host": "localhost:{port}"}),
    ("GET", {"Host": "LocalHost:{port}"}),
    ("POST", {"Host": "[::1]:{port}"}),
    ("GET", {"Host": "127.0.0.1"}),
    ("POST", {"Host": "127.0.0.1:1"}),
    ("POST", {"Origin": "http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"}),
    ("POST", {"Host": "localhost:{port}", "Origin": "http://localhost:{port}"}),
    ("GET", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}),
    ("GET", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}),
    ("GET", {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}),
    ("GET", {"Sec-Fetch-Site": "none"}),
    ("POST", {"Host": "host.docker.internal:{port}"}),
    ("GET", {"Host": "Host.Docker.Internal"}),
    ("POST", {"Host": "gateway.docker.internal:{port}"}),
    ("POST", {"Host": "host.containers.internal:{port}"}),
]


async def _statuses(port: int, path: str, requests: list[tuple[str, dict[str, str]]]) -> list[int]:
    filled = [(method, {name: text.format(port=port) for name, text in fields.items()}) for method, fields in requests]
    return [
        status(await ask(port, head(port, f"{method} {path}", Content_Length="0", **fields)))
        for method, fields in filled
    ]


async def test_no_foreign_page_is_served(port: int) -> None:
    """Neither by its own name for this machine, nor by sending its requests here; a page and programs of this machine are."""
    for path in ("/", "/e/key", "/v0/connect/start", "/v0/connect", "/livez", "/feed", "/invoke", "/nothing"):
        assert await _statuses(port, path, FOREIGN) == [403] * len(FOREIGN)
    assert set(await _statuses(port, "/nothing", OWN)) == {404}


async def test_by_another_address_any_name_may_be_right() -> None:
    """Foreign pages are refused all the same."""
    served = server.Server([], "0.0.0.0")  # noqa: S104
    await served.start(0)
    names = [
        ("GET", {"Host": "worker.example"}),
        ("POST", {"Host": "worker.example", "Origin": "https://worker.example"}),
    ]
    assert await _statuses(served.port, "/", names) == [404, 404]
    foreign = [("GET", {"Origin": "http://evil.example"}), ("POST", {"Sec-Fetch-Site": "same-site"})]
    assert await _statuses(served.port, "/", foreign) == [403, 403]
    await served.close()
