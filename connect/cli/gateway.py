"""`gateway`: the test gateway as a program, to develop a worker against."""

import asyncio
import contextlib
import json
import math
import time
from collections.abc import AsyncIterator
from typing import Annotated

import typer

from connect import command_name, wire
from connect.cli import starting
from connect.execution.outcome import STATUS_NAMES
from connect.gateway import Call, Connection, Ended, Frame, Gateway, Kind, Record, Retry, Unheard
from connect.log_format import one_line
from connect.loops import signals
from connect.redaction import peer_text
from connect.watching.http import cannot_listen
from connect.wire import durations

LOG_CAPACITY = 2_000
LINE = 1_000
"""Characters of a line."""
READ = 64 * 1024
"""Bytes of a reply that is read to be shown; of a larger one the beginning is shown as it is."""


def duration(text: str) -> str:
    """*text*, if it is a duration of more than 0. Raises: BadParameter."""
    if durations.step_seconds(text, -1) <= 0:
        raise typer.BadParameter(f"{text!r} is not a duration: write 10s, 500ms or 1m30s")
    return text


Heartbeat = Annotated[
    str, typer.Option(metavar="DURATION", callback=duration, help="How often workers send a heartbeat.")
]
ExtendLease = Annotated[
    str, typer.Option(metavar="DURATION", callback=duration, help="How often workers extend their leases.")
]
TimeScale = Annotated[
    float, typer.Option(min=0, help="The factor for the sleeps and retry delays of runs: 0.1 makes 10 s last 1 s.")
]


def gateway(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The loopback port; 0 takes a free one.")] = 8288,
    heartbeat: Heartbeat = "10s",
    extend_lease: ExtendLease = "30s",
    time_scale: TimeScale = 1.0,
) -> None:
    """Run a gateway on this machine, for workers under development.

    It syncs functions, runs them step by step when events are posted to its
    /e/KEY, and prints each connection, execution and reply. Ctrl-C ends it.
    """
    starting.interrupt()
    asyncio.run(
        _serve(
            Gateway(
                port=port,
                heartbeat_interval=heartbeat,
                extend_lease_interval=extend_lease,
                time_scale=time_scale,
                log_capacity=LOG_CAPACITY,
                ledger_capacity=LOG_CAPACITY,
            )
        )
    )


async def _serve(served: Gateway) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    with signals.handled(signals.SHUTDOWN, lambda *_: loop.call_soon_threadsafe(stop.set)):
        await _listen(served)
        watching = asyncio.create_task(_watch(served))
        _greet(served)
        await stop.wait()
        watching.cancel()
        await served.close()
    typer.echo("stopped")


async def _listen(served: Gateway) -> None:
    try:
        await served.start()
    except OSError as error:
        raise cannot_listen(f"port {served.port}", error, "pass another --port") from None


def _greet(served: Gateway) -> None:
    typer.echo(f"gateway at {served.url}, Ctrl-C ends it")
    typer.echo(f"  a worker   INNGEST_DEV={served.url} {command_name.typed()} run MODULE:APPS")
    typer.echo(f"  an event   {_curl(served, 'EVENT')}")


def _curl(served: Gateway, event: str) -> str:
    return f"""curl {served.url}/e/dev -d '{{"name": "{event}", "data": {{}}}}'"""


async def _watch(served: Gateway) -> None:
    async for record in _records(served):
        for line in _lines(served, record):
            typer.echo(f"{time.strftime('%H:%M:%S')}  {peer_text(line, LINE)}")


async def _records(served: Gateway) -> AsyncIterator[Record]:
    """The records from now on."""
    seen = served.mark
    while True:
        await served.wait_for(lambda _: True, since=seen, timeout=math.inf)
        fresh, seen = list(served.log.since(seen)), served.mark
        for record in fresh:
            yield record


def _lines(served: Gateway, record: Record) -> list[str]:
    match record:
        case Call(path=path, status=status) if status != 200 or path.endswith("/flush"):
            return [f"POST {path}: {status}"]
        case Ended() | Retry() | Unheard():
            return [str(record)]
        case Frame(kind=Kind.WORKER_READY, connection=number):
            return [line for each in served.connections if each.number == number for line in _functions(served, each)]
        case Frame(kind=Kind.WORKER_PAUSE, connection=number):
            return [f"#{number} takes no more work"]
        case Frame(kind=Kind.GATEWAY_EXECUTOR_REQUEST, message=wire.GatewayExecutorRequestData() as asked):
            return [f"→ {asked.function_slug}  run {asked.run_id}"]
        case Frame(kind=Kind.WORKER_REPLY, message=wire.SDKResponse() as reply):
            return [f"← {_slug(served, reply)}  {STATUS_NAMES[reply.status]}  {_shortened(reply.body)}"]
    return []


def _slug(served: Gateway, reply: wire.SDKResponse) -> str:
    request = served.ledger.get(reply.request_id)
    return request.message.function_slug if request else f"unknown request {reply.request_id}"


def _functions(served: Gateway, connection: Connection) -> list[str]:
    """A line for a worker that takes work, and one for each of its functions."""
    lines = [f"#{connection.number} takes work: {connection.worker.instance_id}"]
    for slug in sorted(slug for slugs in connection.slugs.values() for slug in slugs):
        events = served.functions[slug].events
        lines.append(f"   {slug}: " + (_curl(served, events[0]) if events else "no event triggers it"))
    return lines


def _shortened(body: bytes) -> str:
    text = one_line(_readable(body))
    return text if len(text) <= 120 else f"{text[:119]}…"


def _readable(body: bytes) -> str:
    """An error object as its name and message, any other body as it is."""
    if len(body) <= READ:
        with contextlib.suppress(ValueError, RecursionError):
            match json.loads(body):
                case {"name": str() as name, "message": str() as message, "stack": _}:
                    return f"{name}: {message}"
    return body[:READ].decode(errors="replace")
