"""What tests of the SDK's bridge and of executors use: clients, functions, requests, and the server's side of a run."""

import asyncio
import hashlib
import importlib.metadata
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import inngest

from connect.execution import Executor, Invocation, Outcome, sdk
from connect.execution.caller_loop import CallerLoop
from connect.execution.same_loop import SameLoop
from connect.wire import SDKResponseStatus

Status = SDKResponseStatus
VERSION = importlib.metadata.version("inngest")

PATIENCE = 10.0
"""Seconds that anything in these tests may take."""


def make_client(app_id: str = "app", **options: Any) -> inngest.Inngest:
    """A client in development mode, unless *options* say otherwise."""
    return inngest.Inngest(**{"app_id": app_id, "is_production": False, **options})


def make_function(client: inngest.Inngest, fn_id: str, handler: Any, **options: Any) -> inngest.Function[Any]:
    """*handler* as an Inngest function, `<app>-<fn_id>`."""
    trigger = inngest.TriggerEvent(event=f"test/{fn_id}")
    return client.create_function(fn_id=fn_id, trigger=trigger, **options)(handler)


def make_apps(**handlers: Any) -> sdk.Apps:
    """One app, `app`, with a function `app-<name>` for each handler."""
    client = make_client()
    return sdk.load([(client, [make_function(client, name, handler) for name, handler in handlers.items()])])


def hashed(step_id: str) -> str:
    """A step's id as it is on the wire."""
    return hashlib.sha1(step_id.encode()).hexdigest()  # noqa: S324 - the protocol's choice


def invocation(
    slug: str,
    data: dict[str, Any] | None = None,
    *,
    app: str = "app",
    memos: dict[str, Any] | None = None,
    step_id: str | None = None,
    attempt: int = 0,
    request_id: str = "request-1",
    trace_context: bytes = b"",
    payload: bytes | None = None,
) -> Invocation:
    """A request as the executor makes it (PROTOCOL.md §6.2). *memos*: results by hashed step id."""
    memos = memos or {}
    event = {"name": "test/event", "data": data or {}, "id": "event-1", "ts": 1700000000000}
    content = {
        "ctx": {
            "attempt": attempt,
            "disable_immediate_execution": False,
            "env": "",
            "fn_id": "2b0b6d8a-6f0c-4b45-8f8e-0c4f6f6c1b6e",
            "generation_id": 1,
            "job_id": "job-1",
            "max_attempts": 4,
            "qi_id": "queue-1",
            "request_id": request_id,
            "run_id": "run-1",
            "stack": {"current": len(memos), "stack": list(memos)},
            "step_id": step_id or "step",
            "use_api": False,
        },
        "defers": {},
        "event": event,
        "events": [event],
        "steps": memos,
        "use_api": False,
        "version": -1,
    }
    return Invocation(
        request_id=request_id,
        run_id="run-1",
        app_name=app,
        function_slug=slug,
        step_id=step_id,
        payload=json.dumps(content).encode() if payload is None else payload,
        job_id="job-1",
        trace_context=trace_context,
    )


class Execution:
    """One call of `execute` that is under way, perhaps on another thread's loop."""

    def __init__(self, away: asyncio.AbstractEventLoop, executor: Executor, request: Invocation) -> None:
        self._away = away
        self._home = asyncio.get_running_loop()
        self._ended: asyncio.Future[Outcome] = self._home.create_future()
        self._task: asyncio.Task[Outcome] | None = None
        away.call_soon_threadsafe(self._begin, executor, request)

    def _begin(self, executor: Executor, request: Invocation) -> None:
        async def execute() -> Outcome:
            return await executor.execute(request)

        self._task = self._away.create_task(execute())
        self._task.add_done_callback(lambda task: self._home.call_soon_threadsafe(self._settle, task))

    def _settle(self, task: asyncio.Task[Outcome]) -> None:
        if task.cancelled():
            self._ended.cancel()
        elif error := task.exception():
            self._ended.set_exception(error)
        else:
            self._ended.set_result(task.result())

    def cancel(self) -> None:
        self._away.call_soon_threadsafe(lambda: self._task and self._task.cancel())

    @property
    def done(self) -> bool:
        return self._ended.done()

    async def outcome(self) -> Outcome:
        """What `execute` returned or raised; CancelledError if it was cancelled."""
        async with asyncio.timeout(PATIENCE):
            return await asyncio.shield(self._ended)


class Room:
    """An executor, and the loop on which the connection would call it."""

    def __init__(self, kind: str, away: asyncio.AbstractEventLoop) -> None:
        self.kind = kind
        self.away = away
        self._executors: list[Executor] = []

    def executor(self, apps: sdk.Apps) -> Any:
        made = CallerLoop(apps, asyncio.get_running_loop()) if self.kind == "caller" else SameLoop(apps)
        self._executors.append(made)
        return made

    def start(self, executor: Executor, request: Invocation) -> Execution:
        return Execution(self.away, executor, request)

    async def run(self, executor: Executor, request: Invocation) -> Outcome:
        return await self.start(executor, request).outcome()

    async def stop(self, executor: Executor) -> None:
        async with asyncio.timeout(PATIENCE):
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(executor.stop(), self.away))

    async def close(self) -> None:
        for executor in self._executors:
            await self.stop(executor)


@contextmanager
def loop_on_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """A running loop on a thread of its own. At the end no task may be left on it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    left = asyncio.all_tasks(loop)
    loop.close()
    assert not left


class Server:
    """The server's side of a run: it remembers steps, targets planned ones, and retries failed ones."""

    def __init__(self, run: Callable[[Invocation], Any], max_attempts: int = 4) -> None:
        self._run = run
        self._max_attempts = max_attempts
        self.memos: dict[str, Any] = {}
        self.ops: list[str] = []
        self.attempts = 0

    async def finish(self, slug: str, data: dict[str, Any] | None = None) -> Outcome:
        """Run the function to its end; the last outcome, DONE or ERROR."""
        while True:
            outcome = await self._attempt(slug, data, None)
            if outcome.status != Status.NOT_COMPLETED:
                return outcome
            for op in json.loads(outcome.body):
                await self._take(slug, data, op)

    async def _attempt(self, slug: str, data: dict[str, Any] | None, step_id: str | None) -> Outcome:
        for attempt in range(self._max_attempts):
            self.attempts += 1
            request = invocation(slug, data, memos=dict(self.memos), step_id=step_id, attempt=attempt)
            outcome: Outcome = await self._run(request)
            last = attempt == self._max_attempts - 1 or outcome.no_retry
            failed = outcome.status == Status.ERROR or b'"StepError"' in outcome.body
            if not failed or last:
                return outcome
        raise AssertionError("unreachable")

    async def _take(self, slug: str, data: dict[str, Any] | None, op: dict[str, Any]) -> None:
        self.ops.append(op["op"])
        if op["op"] == "StepPlanned":
            outcome = await self._attempt(slug, data, op["id"])
            for planned in json.loads(outcome.body):
                await self._take(slug, data, planned)
        elif op.get("error"):
            self.memos[op["id"]] = {"error": op["error"]}
        else:
            self.memos[op["id"]] = {"data": op.get("data")}
