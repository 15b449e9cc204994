"""The worker of the soak, a process of its own: `python soaked.py ISOLATION`; it ends on SIGTERM and prints how it ended, as JSON.

INNGEST_DEV names the gateway, which nothing here asks. Into the file SOAK_BOOK, so that the books do not grow in the memory that is
measured, goes a line for each happening of a request: executions are noted by the user function itself, the rest is heard from the
worker's events.
"""

import asyncio
import gc
import json
import logging
import os
import random
import signal
import sys
import threading
from typing import Any

import inngest
import psutil
import tenacity

from connect import Deadlines, WorkerConnection, connect, events
from connect.link import Link
from connect.loops.loop import new_loop
from connect.request import Request

HASTE = 200
"""The worker's own back-off is kept, and waited for so many times faster."""


class Faults(logging.Handler):
    """Counts the log lines about bugs of the worker."""

    def __init__(self) -> None:
        super().__init__()
        self.bugs: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "bug in the worker" in record.getMessage():
            self.bugs.append(record.getMessage())


class Growth:
    """Measures every second the process's memory, and the tasks on the connection's own loop."""

    def __init__(self, worker: WorkerConnection) -> None:
        self._worker = worker
        self._process = psutil.Process()
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(1.0, self._measure)
        self.memory: list[int] = []
        self.tasks: list[int] = []

    def stop(self) -> None:
        self._timer.cancel()

    def _measure(self) -> None:
        self._timer = self._loop.call_later(1.0, self._measure)
        self.memory.append(self._process.memory_info().rss)
        if self._worker._loop:
            self.tasks.append(len(asyncio.all_tasks(self._worker._loop)))


def alive(kind: type[Any]) -> int:
    """How many objects of *kind* exist."""
    gc.collect()
    return sum(isinstance(each, kind) for each in gc.get_objects())


async def hasty(seconds: float) -> None:
    await asyncio.sleep(seconds / HASTE)


class Reaper:
    """Kills one of the worker's processes every other second, if it has any."""

    def __init__(self, worker: WorkerConnection, chance: random.Random) -> None:
        self._worker = worker
        self._chance = chance
        self._timer = asyncio.get_running_loop().call_later(2.0, self._reap)
        self.killed = 0

    def stop(self) -> None:
        self._timer.cancel()

    def _reap(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(2.0, self._reap)
        processes = self._worker.status().processes
        if self._worker.is_ready and processes:
            os.kill(self._chance.choice(processes).pid, signal.SIGKILL)
            self.killed += 1


book = open(os.environ["SOAK_BOOK"], "a", buffering=1)  # noqa: SIM115 - each line is one write, whichever process it comes from
client = inngest.Inngest(app_id="soak", is_production=False)
chance = random.Random(1)


def note(what: str, request_id: str) -> None:
    book.write(f"{request_id} {what}\n")


@client.create_function(fn_id="work", retries=20, trigger=inngest.TriggerEvent(event="work"))
async def work(ctx: inngest.Context) -> str:
    note("executed", ctx.request_id or "?")
    await asyncio.sleep(chance.choice((0.0, 0.0, 0.0, 0.005, 0.02, 0.02, 0.3)))
    return ctx.run_id


@client.create_function(fn_id="slow", retries=20, trigger=inngest.TriggerEvent(event="slow"))
async def slow(ctx: inngest.Context) -> str:
    note("executed", ctx.request_id or "?")
    await asyncio.sleep(2)  # longer than a nack takes to get here, on a loaded machine too
    return ctx.run_id


apps = [(client, [work, slow])]
IN_PROCESSES: dict[str, Any] = {"isolation": "process", "processes": 2, "recycle_after": 200}


async def main(isolation: str) -> dict[str, Any]:
    faults = Faults()
    logging.getLogger("connect").addHandler(faults)
    logging.getLogger("connect").propagate = False
    worker = connect(
        "soaked:apps",
        **(IN_PROCESSES if isolation == "process" else {"isolation": isolation}),
        deadlines=Deadlines(start=1.0, hello=1.0, ready=1.0, reply_ack=0.3, settle=0.3, remember=5.0, pause=0.01),
        retry=tenacity.AsyncRetrying(wait=tenacity.wait_random(0, 2), sleep=hasty),
        flush_timeout=20.0,
    )
    worker.on(events.RequestReceived, lambda event: note("accepted", event.request_id))
    worker.on(events.LeaseLost, lambda event: note("lease-lost", event.request_id))
    worker.on(events.ReplyLost, lambda event: note("discarded", event.request_id))

    growth, reaper = Growth(worker), Reaper(worker, chance)
    tasks, threads = len(asyncio.all_tasks()), threading.active_count()
    await worker.start()
    growth.stop()
    reaper.stop()
    status = worker.status()
    return {
        "bugs": faults.bugs,
        "killed": reaper.killed,
        "unexpected": status.unexpected_events,
        "outbox": status.outbox_replies,
        "in_flight": len(status.in_flight),
        "tasks_left": len(asyncio.all_tasks()) - tasks,
        "threads_left": threading.active_count() - threads,
        "links_left": alive(Link),
        "requests_left": alive(Request),
        "memory": growth.memory,
        "tasks": growth.tasks,
    }


if __name__ == "__main__":
    # As the command does: asyncio's own loop keeps a timer that was disarmed, and with it a link, until it would have been due.
    with asyncio.Runner(loop_factory=new_loop) as runner:
        print(json.dumps(runner.run(main(sys.argv[1]))))
