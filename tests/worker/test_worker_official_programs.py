"""A drop-in for `inngest.connect`: whole programs in processes of their own, which signals end."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from group_kit import end_group
from official import Server, completed, within

from connect.gateway import Gateway, Kind

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
    """Start the program as a process, and wait until it is connected to *server*."""
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
        start_new_session=True,
    )


async def lives_and_ends(server: Server, program: str, number: signal.Signals, **environment: str) -> None:
    """The program connects and runs a function, gets a signal meanwhile, finishes the function, and exits with 0."""
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
        end_group(process.pid)
        await process.wait()
    assert process.returncode == 0, errors.decode()
    assert output.endswith(b"CLOSED\n")


async def test_a_program_for_the_official_client_runs_with_only_its_import_changed(
    embedded: Server, gw: Gateway
) -> None:
    """One line of it is changed."""
    changed = [pair for pair in zip(PROGRAM.splitlines(), OURS.splitlines(), strict=True) if pair[0] != pair[1]]
    assert changed == [
        ("from inngest.connect import ConnectionState, connect", "from connect import ConnectionState, connect")
    ]
    await lives_and_ends(embedded, OURS, signal.SIGTERM)
    await completed(gw)
    assert gw.runs[0].output == "Hello"


async def test_the_program_is_one_for_the_official_client(embedded: Server, gw: Gateway) -> None:
    """The test above proves something only if the official client runs the program too."""
    gw.heartbeat_interval = "60s"  # it keeps its own time, whatever it is told
    await lives_and_ends(embedded, PROGRAM, signal.SIGTERM)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
async def test_default_signals_let_work_finish(server: Server, name: str) -> None:
    await lives_and_ends(server, OURS, getattr(signal, name))


async def test_a_signal_of_ones_own_lets_work_finish(server: Server) -> None:
    await lives_and_ends(server, OURS, signal.SIGUSR1, SIGNAL="SIGUSR1")
