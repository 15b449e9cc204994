"""A drop-in for `inngest.connect`: the official client's own tests, asked of this worker through the official names alone.

What an honest server suffices for runs against the test gateway, and against the server that INNGEST_DEV names where it is
set (`-m real_server`). What needs a gateway that misbehaves runs against the embedded one.
"""

import asyncio
import inspect
import threading
import typing
from typing import Any

import inngest
import inngest.connect
import pytest
from official import Server, Watched, completed, within
from rig import ACTIVE, CLOSED, CONNECTING, DRAINING, RECONNECTING

from connect import ConnectionState, connect
from connect.gateway import Answer, Gateway, Kind, in_thread

# -- names and shapes --------------------------------------------------------------------------------------------------------


def test_every_parameter_of_the_official_connect_is_here() -> None:
    """It has the same names, kinds and defaults. Other parameters are keyword-only and optional."""
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
    """A whole life, by the official names."""
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
    """Each step runs once, however often the function is entered; the last step gets the results of all."""
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
    """It has a signing key; the execution requests are the same."""
    await server.client._http_client._http_client.aclose()
    server.client = server.make_client(is_production=True, signing_key="deadbeef")
    watched = Watched(server)
    await run(connect([(server.client, [watched.function])], instance_id=server.app_id))
    await server.trigger()
    await within(watched.ended.wait())
    assert watched.calls == 1


@pytest.mark.timeout(150)
async def test_long_step_across_many_lease_extensions(server: Server, run: Any) -> None:
    """A step that takes longer than several lease extensions runs once."""
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
    """The worker ends after the function. From close() on it is CLOSING by the official names."""
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
    gw.heartbeat_interval = "100ms"
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
    """The work gets a new connection, which takes no new work."""
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
    """Wait for the replacement's WORKER_CONNECT; the replacement."""
    await gw.wait_for(Kind.WORKER_CONNECT, count=2)
    return gw.connections[-1]


@pytest.mark.usefixtures("quiet")
async def test_flush_after_an_abort(embedded: Server, gw: Gateway, run: Any) -> None:
    """A reply without a connection goes over HTTP."""
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
    """A confirmed reply is not sent again, neither when the connection is lost nor at the end."""
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
