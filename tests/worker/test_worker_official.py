"""A drop-in for `inngest.connect`: what its own tests hold it to, asked of this worker through the official names alone.

What an honest server suffices for runs against the embedded gateway, and against the server that INNGEST_DEV names where it is
set (`-m real_server`). What needs a gateway that misbehaves runs against the embedded one.
"""

import asyncio
import inspect
import os
import signal
import sys
import threading
import typing
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import inngest
import inngest.connect
import pytest
from rig import Running

from connect import ConnectionState, connect
from connect.gateway import Answer, Gateway, Kind, in_thread

CONNECTING, ACTIVE, DRAINING, RECONNECTING, CLOSED = (
    ConnectionState.CONNECTING,
    ConnectionState.ACTIVE,
    ConnectionState.DRAINING,
    ConnectionState.RECONNECTING,
    ConnectionState.CLOSED,
)
DEV_ENV = "00000000-0000-4000-b000-000000000000"


@dataclass(eq=False)
class Server:
    """A server to connect to, a client of it, and an app whose ids nobody else uses."""

    url: str
    long_step: float
    """Seconds that a step has to take for its lease to be extended more than once."""
    gateway: Gateway | None = None
    app_id: str = field(default_factory=lambda: f"app-{uuid.uuid4().hex[:8]}")

    def __post_init__(self) -> None:
        self.client = self.make_client()

    def make_client(self, **options: Any) -> inngest.Inngest:
        """A client of this server, in development mode unless *options* say otherwise."""
        options = {"is_production": False, "event_key": "key", **options}
        return inngest.Inngest(app_id=self.app_id, api_base_url=self.url, event_api_base_url=self.url, **options)

    def function(self, handler: Any, **options: Any) -> inngest.Function[Any]:
        """*handler* as a function that the app's own event triggers."""
        trigger = inngest.TriggerEvent(event=self.app_id)
        return self.client.create_function(fn_id="fn", trigger=trigger, retries=0, **options)(handler)

    async def trigger(self) -> None:
        """Send the app's event."""
        await self.client.send(inngest.Event(name=self.app_id))

    async def instances(self) -> list[str]:
        """The instance ids that the server knows as connected."""
        if self.gateway:
            return [connection.worker.instance_id for connection in self.gateway.connections]
        url = f"{self.url}/v0/connect/envs/{DEV_ENV}/conns"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return [each["instance_id"] for each in (await response.json())["data"]]


@pytest.fixture(params=["embedded", pytest.param("real", marks=pytest.mark.real_server)])
async def server(request: pytest.FixtureRequest, gw: Gateway) -> AsyncIterator[Server]:
    if request.param == "embedded":
        made = Server(gw.url, long_step=0.6, gateway=gw)
    else:
        named = os.environ.get("INNGEST_DEV", "")
        if named in ("", "0", "false"):
            pytest.skip(
                "INNGEST_DEV names no server: set it to http://127.0.0.1:8288, or to 1, with a dev server running"
            )
        made = Server(named if named.startswith("http") else "http://127.0.0.1:8288", long_step=70.0)
    yield made
    await made.client._http_client._http_client.aclose()  # it has no public way to let go of what it sent events over


@pytest.fixture
async def embedded(gw: Gateway) -> AsyncIterator[Server]:
    made = Server(gw.url, long_step=0.6, gateway=gw)
    yield made
    await made.client._http_client._http_client.aclose()


@pytest.fixture
async def run() -> AsyncIterator[Callable[..., Any]]:
    """Start a worker that `connect` made, by default wait until it is ACTIVE; at the end close it and see it end."""
    started: list[Running] = []

    async def begin(connection: Any, *, ready: bool = True) -> Running:
        worker = Running(connection)
        started.append(worker)
        if ready:
            await within(connection.wait_for_state(ACTIVE))
        return worker

    yield begin
    for worker in started:
        await worker.connection.close()
        await asyncio.wait([worker.task], timeout=10)
        assert worker.task.done()
        worker.task.exception()


async def within(awaitable: Any, seconds: float = 5.0) -> Any:
    """Await it, for so long at most."""
    async with asyncio.timeout(seconds):
        return await awaitable


class Watched:
    """A function that tells when it runs and when it has ended, and that waits in between if it is to."""

    def __init__(self, server: Server, *, waits: bool = False) -> None:
        self.began, self.ended, self.go_on = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.task: asyncio.Task[Any] | None = None
        self.calls = 0
        if not waits:
            self.go_on.set()
        self.function = server.function(self._run)

    async def _run(self, ctx: inngest.Context) -> str:
        self.task = asyncio.current_task()
        self.calls += 1
        self.began.set()
        await self.go_on.wait()
        self.ended.set()
        return "Hello"


async def completed(gw: Gateway) -> None:
    """Until the only run of the gateway has succeeded."""
    await gw.until(lambda: [each.status for each in gw.runs] == ["completed"])


# -- names and shapes --------------------------------------------------------------------------------------------------------


def test_every_parameter_of_the_official_connect_is_here() -> None:
    """Same names, same kinds, same defaults; what is added is keyword-only and optional."""
    ours, official = inspect.signature(connect).parameters, inspect.signature(inngest.connect.connect).parameters
    for name, parameter in official.items():
        assert (ours[name].kind, ours[name].default) == (parameter.kind, parameter.default), name
    added = [parameter for name, parameter in ours.items() if name not in official]
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in added)
    assert all(parameter.default is not parameter.empty for parameter in added)


def test_every_method_of_the_official_connection_is_here(embedded: Server) -> None:
    connection = connect([(embedded.client, [Watched(embedded).function])])
    official = typing.get_type_hints(inngest.connect.connect)["return"]
    for name, method in inspect.getmembers(official, inspect.isfunction):
        if not name.startswith("_"):
            ours = getattr(type(connection), name)
            assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(method), name
            assert list(inspect.signature(ours).parameters) == list(inspect.signature(method).parameters), name


def test_every_state_of_the_official_client_is_here() -> None:
    official = {state.name: state.value for state in inngest.connect.ConnectionState}
    ours = {state.name: state.value for state in ConnectionState}
    assert official.items() <= ours.items()


# -- connecting and running --------------------------------------------------------------------------------------------------


async def test_connect(server: Server, run: Any) -> None:
    """The whole life by its official names."""
    connection = connect([(server.client, [Watched(server).function])], instance_id=server.app_id, shutdown_signals=[])
    assert connection.get_state() is CONNECTING
    with pytest.raises(Exception, match="connection not established"):
        connection.get_connection_id()
    worker = await run(connection)
    assert connection.get_state() is ACTIVE
    assert connection.get_connection_id()
    assert server.app_id in await server.instances()
    await within(connection.close(wait=True))
    await within(connection.closed())
    await within(worker.task)
    assert connection.get_state() is CLOSED


async def test_run(server: Server, run: Any) -> None:
    ended = asyncio.Event()

    async def handler(ctx: inngest.Context) -> str:
        ended.set()
        return "Hello"

    await run(connect([(server.client, [server.function(handler)])], instance_id=server.app_id))
    await server.trigger()
    await within(ended.wait())


async def test_multi_step_run(server: Server, run: Any) -> None:
    """Each step is executed once, however often the function is entered; the last of them sees the results of all."""
    executed: list[str] = []
    result: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def handler(ctx: inngest.Context) -> str:
        async def say(word: str) -> str:
            executed.append(word)
            return word

        words = [await ctx.step.run(f"say {word}", say, word) for word in ("one", "two")]
        await ctx.step.sleep("nap", 10)
        words.append(await ctx.step.run("say three", say, "three"))
        if not result.done():
            result.set_result(" ".join(words))
        return " ".join(words)

    await run(connect([(server.client, [server.function(handler)])], instance_id=server.app_id))
    await server.trigger()
    assert await within(result, 10) == "one two three"
    assert executed == ["one", "two", "three"]


async def test_run_in_cloud_mode(server: Server, run: Any) -> None:
    """With a signing key; the execution requests are the same."""
    await server.client._http_client._http_client.aclose()
    server.client = server.make_client(is_production=True, signing_key="deadbeef")
    watched = Watched(server)
    await run(connect([(server.client, [watched.function])], instance_id=server.app_id))
    await server.trigger()
    await within(watched.ended.wait())
    assert watched.calls == 1


@pytest.mark.timeout(150)
async def test_long_step_across_many_lease_extensions(server: Server, run: Any) -> None:
    """A step that outlasts its lease's extensions is executed once."""
    watched = Watched(server, waits=True)
    await run(connect([(server.client, [watched.function])], instance_id=server.app_id))
    await server.trigger()
    await within(watched.began.wait())
    if server.gateway:
        await server.gateway.wait_for(Kind.WORKER_REQUEST_EXTEND_LEASE, count=10)
    else:
        await asyncio.sleep(server.long_step)
    watched.go_on.set()
    await within(watched.ended.wait(), 10)
    assert watched.calls == 1


async def test_sync_functions_run_side_by_side(server: Server, run: Any) -> None:
    together, done = threading.Barrier(2, timeout=10), asyncio.Event()
    home, ended = asyncio.get_running_loop(), []

    def handler(ctx: inngest.ContextSync) -> None:
        together.wait()
        ended.append(ctx.run_id)
        if len(ended) == 2:
            home.call_soon_threadsafe(done.set)

    await run(connect([(server.client, [server.function(handler)])], instance_id=server.app_id))
    await server.trigger()
    await server.trigger()
    await within(done.wait(), 15)


async def test_close_waits_for_an_execution(server: Server, run: Any) -> None:
    """The worker ends once the function has; it is CLOSING, to those who ask in the official words, from close() on."""
    watched = Watched(server, waits=True)
    connection = connect([(server.client, [watched.function])], instance_id=server.app_id)
    worker = await run(connection)
    await server.trigger()
    await within(watched.began.wait())
    await connection.close()
    await within(connection.wait_for_state(ConnectionState.CLOSING))
    assert not worker.task.done()
    watched.go_on.set()
    await within(worker.task)
    assert connection.get_state() is CLOSED
    assert worker.states == [CONNECTING, ACTIVE, DRAINING, CLOSED]


async def test_heartbeats_and_lease_extensions_go_on_after_close(embedded: Server, gw: Gateway, run: Any) -> None:
    watched = Watched(embedded, waits=True)
    connection = connect([(embedded.client, [watched.function])])
    worker = await run(connection)
    await embedded.trigger()
    await within(watched.began.wait())
    await connection.close()
    await gw.wait_for(Kind.WORKER_PAUSE)
    mark = gw.mark
    await gw.wait_for(Kind.WORKER_HEARTBEAT, count=3, since=mark)
    await gw.wait_for(Kind.WORKER_REQUEST_EXTEND_LEASE, count=3, since=mark)
    watched.go_on.set()
    await within(worker.task)
    await completed(gw)


def test_heartbeats_go_on_while_user_code_blocks_its_loop() -> None:
    """The connection has a loop of its own."""
    with in_thread(Gateway(heartbeat_interval="50ms")) as threaded:
        server = Server(threaded.url, long_step=0)

        async def handler(ctx: inngest.Context) -> None:
            mark = threaded.call(lambda gw: gw.mark)
            threaded.run(lambda gw: gw.wait_for(Kind.GATEWAY_HEARTBEAT, count=5, since=mark))

        connection = connect([(server.client, [server.function(handler)])], shutdown_signals=[])

        async def live() -> None:
            task = asyncio.create_task(connection.start())
            await asyncio.to_thread(threaded.wait_for_worker)
            run = await asyncio.to_thread(threaded.invoke, f"{server.app_id}-fn")
            assert run.status == "completed"
            await connection.close(wait=True)
            await task

        asyncio.run(live())


# -- closes, drains, aborts --------------------------------------------------------------------------------------------------


async def close_with_code(gw: Gateway) -> None:
    await gw.connections[0].close(1011, "anything")


async def close_without_code(gw: Gateway) -> None:
    gw.connections[0].drop()


async def send_invalid_frame(gw: Gateway) -> None:
    # A frame with reserved bits set, past everything that knows the protocol.
    transport = gw.connections[0]._request.transport
    assert transport is not None
    transport.write(b"\xff\xff\xff")


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("end", [close_with_code, close_without_code, send_invalid_frame])
async def test_reconnect_after(embedded: Server, gw: Gateway, run: Any, end: Any) -> None:
    worker = await run(connect([(embedded.client, [Watched(embedded).function])]))
    await gw.wait_for_worker()
    first = worker.get_connection_id()
    await end(gw)
    await within(worker.connection.wait_for_state(RECONNECTING))
    await within(worker.connection.wait_for_state(ACTIVE))
    assert worker.states == [CONNECTING, ACTIVE, RECONNECTING, ACTIVE]
    assert worker.get_connection_id() != first
    assert len(gw.calls("start")) == 2


@pytest.mark.usefixtures("quiet")
async def test_two_drains_in_a_row(embedded: Server, gw: Gateway, run: Any) -> None:
    watched = Watched(embedded)
    worker = await run(connect([(embedded.client, [watched.function])]))
    for count in (2, 3):
        await gw.wait_for_worker()
        mark = gw.mark
        await gw.drain()
        await gw.wait_for(Kind.WORKER_READY, since=mark)
        assert len(gw.calls("start")) == count
    await embedded.trigger()
    await within(watched.ended.wait())
    assert worker.states == [CONNECTING, ACTIVE, DRAINING, ACTIVE, DRAINING, ACTIVE]


@pytest.mark.usefixtures("quiet")
async def test_drain_during_shutdown(embedded: Server, gw: Gateway, run: Any) -> None:
    """Work that is still under way gets a live connection, which takes nothing new."""
    watched = Watched(embedded, waits=True)
    connection = connect([(embedded.client, [watched.function])])
    worker = await run(connection)
    await gw.wait_for_worker()
    await embedded.trigger()
    await within(watched.began.wait())
    await connection.close()
    await within(connection.wait_for_state(ConnectionState.CLOSING))
    await gw.drain()
    await gw.wait_for(Kind.WORKER_PAUSE, count=1, connection=await second_connection(gw))
    watched.go_on.set()
    await within(worker.task)
    await completed(gw)


async def second_connection(gw: Gateway) -> Any:
    """The replacement, once it has introduced itself."""
    await gw.wait_for(Kind.WORKER_CONNECT, count=2)
    return gw.connections[-1]


@pytest.mark.usefixtures("quiet")
async def test_flush_after_an_abort(embedded: Server, gw: Gateway, run: Any) -> None:
    """A reply that finds no connection goes out over HTTP."""
    watched = Watched(embedded, waits=True)
    connection = connect([(embedded.client, [watched.function])])
    await run(connection)
    await gw.wait_for_worker()
    await embedded.trigger()
    await within(watched.began.wait())
    gw.starts.standing = Answer(500)
    gw.connections[0].drop()
    await within(connection.wait_for_state(RECONNECTING))
    watched.go_on.set()
    await gw.wait_for(lambda record: record in gw.calls("flush"))
    gw.starts.clear()
    await connection.close()  # cuts the backoff short
    await within(connection.closed())
    assert [request.via for request in gw.ledger] == ["flush"]


@pytest.mark.usefixtures("quiet")
async def test_no_flush_of_acknowledged_replies(embedded: Server, gw: Gateway, run: Any) -> None:
    """What the gateway has confirmed is not sent again: not when the connection is lost, not at the end."""
    watched = Watched(embedded)
    connection = connect([(embedded.client, [watched.function])])
    await run(connection)
    await gw.wait_for_worker()
    await embedded.trigger()
    await within(watched.ended.wait())
    await completed(gw)
    await gw.connections[0].close(1011, "anything")  # behind the REPLY_ACK, which a drop could overtake
    await within(connection.wait_for_state(RECONNECTING))
    await within(connection.wait_for_state(ACTIVE))
    await within(connection.close(wait=True))
    assert not gw.calls("flush")


async def test_lease_nack_cancels_the_function(embedded: Server, gw: Gateway, run: Any) -> None:
    watched = Watched(embedded, waits=True)
    await run(connect([(embedded.client, [watched.function])]))
    await gw.wait_for_worker()
    await embedded.trigger()
    await within(watched.began.wait())
    gw.faults.nack()
    assert watched.task is not None
    await within(asyncio.wait([watched.task]))
    assert watched.task.cancelled()


# -- the start request -------------------------------------------------------------------------------------------------------

DEADBEEF = "5f78c33274e43fa9de5659265c1d917e25c03722dcb0b8d27db8d5feaa813953"
CAFEBABE = "65ab12a8ff3263fbc257e5ddf0aa563c64573d0bab1f1115b9b107834cfa6971"


def authorizations(gw: Gateway) -> list[str | None]:
    """What each start request brought."""
    return [call.headers.get("authorization") for call in gw.calls("start")]


async def test_cloud_mode_sends_the_hashed_signing_key(embedded: Server, gw: Gateway, run: Any) -> None:
    embedded.client = embedded.make_client(is_production=True, signing_key="deadbeef")
    await run(connect([(embedded.client, [Watched(embedded).function])]))
    assert authorizations(gw) == [f"Bearer {DEADBEEF}"]


async def test_development_mode_sends_none(embedded: Server, gw: Gateway, run: Any) -> None:
    embedded.client = embedded.make_client(signing_key="deadbeef")
    await run(connect([(embedded.client, [Watched(embedded).function])]))
    assert authorizations(gw) == [None]


async def test_a_refused_key_gives_way_to_the_fallback(
    embedded: Server, gw: Gateway, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INNGEST_SIGNING_KEY_FALLBACK", "cafebabe")
    gw.signing_keys = ("cafebabe",)
    embedded.client = embedded.make_client(is_production=True, signing_key="deadbeef")
    await run(connect([(embedded.client, [Watched(embedded).function])]))
    assert authorizations(gw) == [f"Bearer {DEADBEEF}", f"Bearer {CAFEBABE}"]


async def test_unauthorized_leaves_start(embedded: Server, gw: Gateway, run: Any) -> None:
    gw.signing_keys = ("cafebabe",)
    worker = await run(connect([(embedded.client, [Watched(embedded).function])]), ready=False)
    with pytest.raises(Exception, match="unauthorized"):
        await within(worker.task)


async def test_rewrite_gateway_endpoint(embedded: Server, gw: Gateway, run: Any) -> None:
    """Given what the server granted, it returns what to dial."""
    gw.advertise = lambda _: "ws://gateway.invalid:1/v0/connect"
    granted: list[str] = []

    def rewrite(endpoint: str) -> str:
        granted.append(endpoint)
        return f"ws://127.0.0.1:{gw.port}/v0/connect"

    await run(connect([(embedded.client, [Watched(embedded).function])], rewrite_gateway_endpoint=rewrite))
    assert granted == ["ws://gateway.invalid:1/v0/connect"]


async def test_close_before_connected(embedded: Server, gw: Gateway, run: Any) -> None:
    gw.starts.standing = Answer(500)
    connection = connect([(embedded.client, [Watched(embedded).function])])
    worker = await run(connection, ready=False)
    await gw.wait_for(lambda record: record in gw.calls("start"))
    await connection.close()
    await within(worker.task)
    assert worker.states == [CONNECTING, CLOSED]


# -- immediate failure -------------------------------------------------------------------------------------------------------


def client_with(app_id: str, **options: Any) -> tuple[inngest.Inngest, list[inngest.Function[Any]]]:
    client = inngest.Inngest(app_id=app_id, **options)

    @client.create_function(fn_id="fn", trigger=inngest.TriggerEvent(event="event"))
    async def fn(ctx: inngest.Context) -> None: ...

    return client, [fn]


LOCAL = {"api_base_url": "http://127.0.0.1:8288", "is_production": False}


@pytest.mark.parametrize(
    ("message", "one", "other"),
    [
        ("API base URL", LOCAL, LOCAL | {"api_base_url": "http://127.0.0.1:8289"}),
        ("env", LOCAL | {"env": "one"}, LOCAL | {"env": "other"}),
        ("mode", LOCAL | {"is_production": True, "signing_key": "deadbeef"}, LOCAL),
        ("signing key", LOCAL | {"signing_key": "deadbeef"}, LOCAL | {"signing_key": "abc123"}),
    ],
)
def test_inconsistent_apps_are_refused_at_once(message: str, one: Any, other: Any) -> None:
    with pytest.raises(Exception, match=f"^inconsistent app config: {message}$"):
        connect([client_with("app-1", **one), client_with("app-2", **other)])


def test_no_apps_are_refused_at_once() -> None:
    with pytest.raises(Exception, match=r"^no apps provided$"):
        connect([])


# -- whole programs ----------------------------------------------------------------------------------------------------------

PROGRAM = """
import asyncio
import os
import signal

import inngest
from inngest.connect import ConnectionState, connect

client = inngest.Inngest(app_id=os.environ["APP"], is_production=False)


@client.create_function(fn_id="fn", retries=0, trigger=inngest.TriggerEvent(event=os.environ["APP"]))
async def fn(ctx: inngest.Context) -> str:
    greeting = await ctx.step.run("greet", lambda: "Hello")
    print("running", flush=True)
    await asyncio.to_thread(input)
    return greeting


async def main() -> None:
    signals = [getattr(signal, os.environ["SIGNAL"])] if "SIGNAL" in os.environ else None
    connection = connect([(client, [fn])], instance_id=os.environ["APP"], shutdown_signals=signals)
    task = asyncio.create_task(connection.start())
    await connection.wait_for_state(ConnectionState.ACTIVE)
    print(connection.get_state().value, len(connection.get_connection_id()), flush=True)
    await task
    await connection.closed()
    print(connection.get_state().value, flush=True)


asyncio.run(main())
"""
OURS = PROGRAM.replace("from inngest.connect import", "from connect import")


async def spawn(server: Server, program: str, **environment: str) -> asyncio.subprocess.Process:
    """The program as a process of its own, connected to *server*."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        program,
        env={
            **{name: text for name, text in os.environ.items() if not name.startswith("INNGEST_")},
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "INNGEST_DEV": server.url,
            "APP": server.app_id,
            **environment,
        },
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def lives_and_ends(server: Server, program: str, number: signal.Signals, **environment: str) -> None:
    """It connects, runs a function, is told to stop in the middle of it, finishes it, and exits with 0."""
    process = await spawn(server, program, **environment)
    assert process.stdin
    assert process.stdout
    assert process.stderr
    try:
        assert await within(process.stdout.readline(), 20) == b"ACTIVE 26\n"
        if server.gateway:
            await server.gateway.wait_for_worker()
        await server.trigger()
        assert await within(process.stdout.readline(), 10) == b"running\n"
        process.send_signal(number)
        if server.gateway:
            await server.gateway.wait_for(Kind.WORKER_PAUSE)
        process.stdin.write(b"go on\n")
        await process.stdin.drain()
        output, errors = await within(process.communicate(), 20)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()
    assert output.endswith(b"CLOSED\n")


@pytest.mark.usefixtures("quiet")
async def test_a_program_for_the_official_client_runs_with_only_its_import_changed(
    embedded: Server, gw: Gateway
) -> None:
    """The one line, and nothing else."""
    changed = [pair for pair in zip(PROGRAM.splitlines(), OURS.splitlines(), strict=True) if pair[0] != pair[1]]
    assert changed == [
        ("from inngest.connect import ConnectionState, connect", "from connect import ConnectionState, connect")
    ]
    await lives_and_ends(embedded, OURS, signal.SIGTERM)
    await completed(gw)
    assert gw.runs[0].output == "Hello"


@pytest.mark.usefixtures("quiet")  # the official client keeps its own time, whatever it is told
async def test_the_program_is_one_for_the_official_client(embedded: Server) -> None:
    """It proves nothing unless the official client runs it too."""
    await lives_and_ends(embedded, PROGRAM, signal.SIGTERM)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
async def test_default_signals_let_work_finish(server: Server, name: str) -> None:
    await lives_and_ends(server, OURS, getattr(signal, name))


async def test_a_signal_of_ones_own_lets_work_finish(server: Server) -> None:
    await lives_and_ends(server, OURS, signal.SIGUSR1, SIGNAL="SIGUSR1")
