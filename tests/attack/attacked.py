"""The worker that is attacked: `python attacked.py ISOLATION URL PORT`. SIGTERM ends it."""

import asyncio
import sys
from typing import Any

import inngest
import tenacity

from connect import Deadlines, connect
from connect.log_format import to_stderr
from connect.loops.loop import new_loop

MIB = 2**20
OUTBOX = 32 * MIB

client = inngest.Inngest(app_id="app", is_production=False)


def function(name: str) -> Any:
    return client.create_function(fn_id=name, retries=0, trigger=inngest.TriggerEvent(event=name))


@function("echo")
async def echo(ctx: inngest.Context) -> str:
    return "done"


@function("large")
async def large(ctx: inngest.Context) -> str:
    return "x" * MIB


@function("wait")
async def wait(ctx: inngest.Context) -> None:
    await asyncio.sleep(3600)


apps = [(client, [echo, large, wait])]


async def main(isolation: str, url: str, port: str) -> None:
    to_stderr("warning", "text")
    given: dict[str, Any] = {"apps": "attacked:apps", "processes": 1} if isolation == "process" else {"apps": apps}
    worker = connect(
        **given,
        isolation=isolation,  # type: ignore[arg-type]
        api_base_url=url,
        http=f"127.0.0.1:{port}",
        status_page=True,
        shutdown_timeout=1.0,
        flush_timeout=2.0,
        outbox_limit=OUTBOX,
        deadlines=Deadlines(start=2.0, socket=2.0, hello=1.0, ready=1.0, reply_ack=1.0),
        retry=tenacity.AsyncRetrying(
            wait=tenacity.wait_random(0, 0.05), sleep=lambda seconds: asyncio.sleep(min(seconds, 0.05))
        ),
    )
    await worker.start()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main(*sys.argv[1:]))
