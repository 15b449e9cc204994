"""The test gateway runs functions: one execution after another, with retries, until each run has completed or failed."""

import asyncio
import time
from datetime import datetime
from typing import Any, Final

from connect.gateway.dispatcher import Dispatcher, DispatchError
from connect.gateway.executor_request import request_for
from connect.gateway.log import Log, Retry, Unheard
from connect.gateway.newest import Newest
from connect.gateway.opcodes import Failure, Op, Progress, read, until
from connect.gateway.run import Function, Run, Step, new_event, synced_function
from connect.gateway.settings import Settings
from connect.log_format import described
from connect.wire import durations, ulid

WHOLE: Final = "step"
"""The step id of an execution that targets no single step."""

FUNCTIONS: Final = 10_000
"""Functions that are known: those that were synced last."""
_OVERHEAD: Final = 2000
"""Bytes that a run holds besides its data."""

INVOKED: Final = "inngest/function.invoked"
"""The event of a run that a step of another run invoked."""


class RunFailed(Exception):  # noqa: N818 - the happening's name
    """The run has failed, and is not tried again."""

    def __init__(self, error: Any) -> None:
        super().__init__(str(error))
        self.error = error


class Scheduler:
    """Starts runs, has them executed, memoizes their steps, and retries."""

    def __init__(self, settings: Settings, dispatcher: Dispatcher, log: Log) -> None:
        self._settings = settings
        self._dispatcher = dispatcher
        self._log = log
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiters: dict[str, list[asyncio.Future[dict[str, Any]]]] = {}
        self.functions: dict[str, Function] = {}
        """The functions that workers synced last, by slug: at most `FUNCTIONS`."""
        self.runs: Newest[str, Run] = Newest(settings.ledger_capacity, settings.record_bytes)

    def register(self, functions: dict[str, list[dict[str, Any]]]) -> None:
        """Keep what a worker synced: function configurations by app name."""
        for app_name, configs in functions.items():
            for config in configs:
                self.functions.pop(config["id"], None)  # it becomes the newest
                self.functions[config["id"]] = synced_function(app_name, config)
        for slug in list(self.functions)[:-FUNCTIONS]:
            del self.functions[slug]

    # -- starting and ending

    def start(self, slug: str, data: Any, event_name: str | None = None) -> Run:
        """Start a run. Raises: LookupError: no worker ever synced the function."""
        function = self._known(slug)
        name = event_name or next(iter(function.events), INVOKED)
        return self._begin(slug, new_event(name, data))

    def trigger(self, event: dict[str, Any]) -> list[Run]:
        """Resume the runs that wait for *event*, and start a run of each function that it triggers. Returns the new runs."""
        waiters = [each for each in self._waiters.pop(event["name"], []) if not each.done()]
        for waiter in waiters:
            waiter.set_result(event)
        runs = [self._begin(f.slug, event) for f in list(self.functions.values()) if event["name"] in f.events]
        if not waiters and not runs:
            self._log.add(Unheard(time.monotonic(), event["name"]))
        return runs

    async def cancel(self) -> None:
        """Cancel every run that has not ended."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _known(self, slug: str) -> Function:
        try:
            return self.functions[slug]
        except KeyError:
            known = ", ".join(sorted(self.functions)) or "none"
            raise LookupError(f"no worker synced a function {slug!r}; synced are: {known}") from None

    def _begin(self, slug: str, event: dict[str, Any]) -> Run:
        run = Run(ulid.new(), slug, event)
        self.runs.add(run.id, run, _OVERHEAD)
        run.task = asyncio.get_running_loop().create_task(self._follow(run))
        self._tasks.add(run.task)
        run.task.add_done_callback(self._tasks.discard)
        return run

    async def _follow(self, run: Run) -> None:
        try:
            while run.status == "running":
                await self._resolve_all(run, await self._execute(run, WHOLE))
        except RunFailed as failure:
            await self._fail(run, failure.error)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            await self._fail(
                run, {"name": "Error", "message": f"the worker's reply makes no sense: {described(error)}"}
            )
        except asyncio.CancelledError:
            run.status = "cancelled"
        finally:
            self._log.changed()

    async def _fail(self, run: Run, error: Any) -> None:
        run.status, run.error = "failed", error
        slug = f"{run.slug}-failure"
        if slug in self.functions:
            data = {"error": error, "event": run.event, "function_id": run.slug, "run_id": run.id}
            run.on_failure = self._begin(slug, new_event("inngest/function.failed", data))
            await run.on_failure.done()

    # -- executions

    async def _execute(self, run: Run, step_id: str) -> list[Op]:
        """Have the run, or one step of it, executed until it reports opcodes, with retries. Raises: RunFailed."""
        attempts = self._known(run.slug).attempts
        for attempt in range(attempts):
            run.attempts = max(run.attempts, attempt + 1)
            outcome = await self._attempt(run, step_id, attempt)
            final = attempt + 1 == attempts or not outcome.retriable
            if isinstance(outcome, Progress):
                failed = any(op.op == "StepError" for op in outcome.ops)
                if final or not failed:
                    return outcome.ops
            elif final:
                raise RunFailed(outcome.error)
            delay = self._settings.shortened(outcome.delay)
            self._log.add(Retry(time.monotonic(), run.slug, run.id, attempt + 2, attempts, delay))
            await asyncio.sleep(delay)
        raise AssertionError("the last attempt is final")

    async def _attempt(self, run: Run, step_id: str, attempt: int) -> Failure | Progress:
        message = request_for(run, self._known(run.slug), step_id, attempt, self._settings)
        run.requests.append(message.request_id)
        self.runs.grow(run.id, run.note_size(len(message.request_payload)))
        try:
            reply = await self._dispatcher.execute(message)
        except DispatchError as error:
            return Failure({"name": str(error), "message": f"{error} ({run.slug})"})
        run.version = reply.request_version
        self.runs.grow(run.id, run.note_size(run.size + len(reply.body)))
        return read(reply)

    # -- steps

    async def _resolve_all(self, run: Run, ops: list[Op]) -> None:
        """Carry out *ops* at the same time, and wait for all of them. Raises: RunFailed."""
        if not ops:
            raise RunFailed({"name": "Error", "message": "the worker reported neither a step nor a result"})
        run.planning = run.planning or len(ops) > 1
        outcomes = await asyncio.gather(*(self._resolve(run, op) for op in ops), return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None:
                raise outcome

    async def _resolve(self, run: Run, op: Op) -> None:
        match op.op:
            case "RunComplete" | "SyncRunComplete":
                run.status, run.output = "completed", op.data
            case "StepPlanned":
                await self._resolve_each(run, await self._execute(run, op.id))
            case "StepRun" | "Step":
                self._memoize(run, op, {"data": op.data}, data=op.data)
            case "StepError" | "StepFailed":
                self._memoize(run, op, {"error": op.error}, error=op.error)
            case "Sleep":
                await asyncio.sleep(self._settings.shortened(_sleep_seconds(op.label)))
                self._memoize(run, op, None)
            case "WaitForEvent" | "WaitForSignal":
                event = await self._event(run, op)
                self._memoize(run, op, event, data=event)
            case "InvokeFunction":
                await self._invoke(run, op)
            case "AIGateway" | "Gateway":
                error = {"name": "Error", "message": f"this gateway does not perform {op.op}"}
                self._memoize(run, op, {"error": error}, error=error)
            case _:
                raise RunFailed({"name": "Error", "message": f"this gateway does not know the opcode {op.op!r}"})

    async def _resolve_each(self, run: Run, ops: list[Op]) -> None:
        for op in ops:
            await self._resolve(run, op)

    def _memoize(self, run: Run, op: Op, memo: Any, *, data: Any = None, error: Any = None) -> None:
        run.memos[op.id] = memo
        run.steps[op.name] = Step(op.name, op.op, data, error)
        self._log.changed()

    async def _event(self, run: Run, op: Op) -> dict[str, Any] | None:
        """Wait for the event of *op*. Returns None if it does not come within its timeout. Conditions are not evaluated."""
        waiter: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        run.waiting_for = op.label
        self._waiters.setdefault(op.label, []).append(waiter)
        self._log.changed()
        timeout = durations.step_seconds(str(op.opts.get("timeout", "")), 0.0)
        try:
            await asyncio.wait({waiter}, timeout=self._settings.shortened(timeout))
        finally:
            run.waiting_for = ""
            self._forget(op.label, waiter)
        return waiter.result() if waiter.done() else None

    def _forget(self, event_name: str, waiter: asyncio.Future[dict[str, Any]]) -> None:
        waiters = self._waiters.get(event_name, [])
        if waiter in waiters:
            waiters.remove(waiter)
        if not waiters:
            self._waiters.pop(event_name, None)

    async def _invoke(self, run: Run, op: Op) -> None:
        payload = op.opts.get("payload") or {}
        try:
            invoked = self.start(op.opts.get("function_id", ""), payload.get("data"), INVOKED)
            await invoked.done()
            error = invoked.error
        except LookupError as missing:
            invoked, error = run, {"name": "Error", "message": str(missing)}
        if error is None:
            self._memoize(run, op, {"data": invoked.output}, data=invoked.output)
        else:
            self._memoize(run, op, {"error": error}, error=error)


def _sleep_seconds(label: str) -> float:
    """How many seconds a Sleep lasts; its name is a point in time or a duration."""
    try:
        return until(datetime.fromisoformat(label))
    except ValueError:
        return durations.step_seconds(label, 0.0)
