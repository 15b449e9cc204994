"""Runs: a function's executions, one after another, until it is done or has failed for good."""

import asyncio
import json
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from connect.gateway import durations, ulid
from connect.gateway.dispatch import Dispatcher, DispatchError
from connect.gateway.settings import Settings
from connect.gateway.steps import Failure, Op, Progress, read, until
from connect.wire import GatewayExecutorRequestData

ACCOUNT_ID: Final = "00000000-0000-4000-a000-000000000000"
ENV_ID: Final = "00000000-0000-4000-b000-000000000000"
DEFAULT_RETRIES: Final = 3
WHOLE: Final = "step"
"""The step id of an execution that targets no single step."""

INVOKED: Final = "inngest/function.invoked"
"""The event of a run that a step of another run invoked."""

RunStatus: TypeAlias = Literal["running", "completed", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Function:
    """A synced function. `attempts` is how often it and each of its steps are tried in all."""

    slug: str
    app_name: str
    attempts: int
    events: tuple[str, ...]
    """The events that trigger it, those with a condition left out."""


@dataclass(frozen=True, slots=True)
class Step:
    """A finished step: its name in the user's code, its opcode, and what it came to."""

    name: str
    op: str
    data: Any = None
    error: Any = None


@dataclass(eq=False)
class Run:
    """One run of a function.

    `output` is the function's result, `error` the error object of a run that failed; `steps` are the finished steps by name.
    `attempts` is how often its most-tried execution was tried; `requests` the request ids of all its executions.
    `on_failure` is the run of the function's failure handler, if it has one and it was needed.
    """

    id: str
    slug: str
    event: dict[str, Any]
    status: RunStatus = "running"
    output: Any = None
    error: Any = None
    steps: dict[str, Step] = field(default_factory=dict)
    attempts: int = 0
    requests: list[str] = field(default_factory=list)
    on_failure: "Run | None" = None
    waiting_for: str = ""
    """The event that it waits for, if it does."""
    memos: dict[str, Any] = field(default_factory=dict, repr=False)
    """What is memoized, by hashed step id, in the order of finishing."""
    version: int = field(default=-1, repr=False)
    planning: bool = field(default=False, repr=False)
    """It had parallel steps: from then on each new step is planned before it is run."""
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    async def done(self) -> "Run":
        """Wait for the run's end, its failure handler's included. Cancelling the wait leaves the run alone."""
        if self.task is not None:
            await asyncio.shield(self.task)
        return self


class RunFailed(Exception):  # noqa: N818 - the happening's name
    """The run is over: an error, by then final."""

    def __init__(self, error: Any) -> None:
        super().__init__(str(error))
        self.error = error


class Driver:
    """Follows runs: asks for executions, memoizes steps, retries."""

    def __init__(self, settings: Settings, dispatcher: Dispatcher, changed: Callable[[], None]) -> None:
        self._settings = settings
        self._dispatcher = dispatcher
        self._changed = changed
        self._waiters: dict[str, list[asyncio.Future[dict[str, Any]]]] = {}
        self.functions: dict[str, Function] = {}
        """Every function that was ever synced, by slug."""
        self.runs: OrderedDict[str, Run] = OrderedDict()

    def register(self, functions: dict[str, list[dict[str, Any]]]) -> None:
        """Learn what a worker synced: function configurations by app name."""
        for app_name, configs in functions.items():
            for config in configs:
                self.functions[config["id"]] = _function(app_name, config)

    # -- starting and ending

    def start(self, slug: str, data: Any, event_name: str | None = None) -> Run:
        """Start a run. Raises: LookupError: no worker ever synced the function."""
        function = self._known(slug)
        name = event_name or next(iter(function.events), INVOKED)
        return self._begin(slug, new_event(name, data))

    def trigger(self, event: dict[str, Any]) -> list[Run]:
        """Hand *event* to who waits for it, and start a run of each function that it triggers."""
        for waiter in self._waiters.pop(event["name"], []):
            if not waiter.done():
                waiter.set_result(event)
        return [self._begin(f.slug, event) for f in list(self.functions.values()) if event["name"] in f.events]

    async def cancel(self) -> None:
        """Give up every run that has not ended."""
        tasks = [run.task for run in self.runs.values() if run.task is not None and not run.task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _known(self, slug: str) -> Function:
        try:
            return self.functions[slug]
        except KeyError:
            known = ", ".join(sorted(self.functions)) or "none"
            raise LookupError(f"no worker synced a function {slug!r}; synced are: {known}") from None

    def _begin(self, slug: str, event: dict[str, Any]) -> Run:
        run = Run(ulid.new(), slug, event)
        self.runs[run.id] = run
        if len(self.runs) > self._settings.ledger_capacity:
            self.runs.popitem(last=False)
        run.task = asyncio.get_running_loop().create_task(self._follow(run))
        return run

    async def _follow(self, run: Run) -> None:
        try:
            while run.status == "running":
                await self._settle(run, await self._execute(run, WHOLE))
        except RunFailed as failure:
            await self._fail(run, failure.error)
        except asyncio.CancelledError:
            run.status = "cancelled"
        finally:
            self._changed()

    async def _fail(self, run: Run, error: Any) -> None:
        run.status, run.error = "failed", error
        slug = f"{run.slug}-failure"
        if slug in self.functions:
            data = {"error": error, "event": run.event, "function_id": run.slug, "run_id": run.id}
            run.on_failure = self._begin(slug, new_event("inngest/function.failed", data))
            await run.on_failure.done()

    # -- executions

    async def _execute(self, run: Run, step_id: str) -> list[Op]:
        """Have the run, or one step of it, executed until it makes progress. Raises: RunFailed."""
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
            await asyncio.sleep(self._settings.shortened(outcome.delay))
        raise AssertionError("the last attempt is final")

    async def _attempt(self, run: Run, step_id: str, attempt: int) -> Failure | Progress:
        message = self._request(run, step_id, attempt)
        run.requests.append(message.request_id)
        try:
            reply = await self._dispatcher.execute(message)
        except DispatchError as error:
            return Failure({"name": str(error), "message": f"{error} ({run.slug})"})
        run.version = reply.request_version
        return read(reply)

    def _request(self, run: Run, step_id: str, attempt: int) -> GatewayExecutorRequestData:
        function = self._known(run.slug)
        request_id, job_id = ulid.new(), ulid.new()
        return GatewayExecutorRequestData(
            request_id=request_id,
            account_id=ACCOUNT_ID,
            env_id=ENV_ID,
            app_id=_uuid(function.app_name),
            app_name=function.app_name,
            function_id=_uuid(function.slug),
            function_slug=function.slug,
            step_id=step_id,
            request_payload=self._payload(run, function, request_id, job_id, step_id, attempt),
            system_trace_ctx=_either(self._settings.system_trace_ctx, _trace_context(run)),
            user_trace_ctx=_either(self._settings.user_trace_ctx, b"{}"),
            run_id=run.id,
            job_id=job_id,
        )

    def _payload(self, run: Run, function: Function, request_id: str, job_id: str, step_id: str, attempt: int) -> bytes:
        finished = list(run.memos)
        content: dict[str, Any] = {
            "ctx": {
                "attempt": attempt,
                "disable_immediate_execution": run.planning,
                "env": "",
                "fn_id": _uuid(function.slug),
                "generation_id": 1,
                "job_id": job_id,
                "max_attempts": function.attempts,
                "qi_id": job_id,
                "request_id": request_id,
                "run_id": run.id,
                "stack": {"current": len(finished), "stack": finished},
                "step_id": step_id,
                "use_api": False,
            },
            "defers": {},
            "event": run.event,
            "events": [run.event],
            "steps": run.memos,
            "use_api": False,
            "version": run.version,
        }
        return self._within_limit(content)

    def _within_limit(self, content: dict[str, Any]) -> bytes:
        payload = _canonical(content)
        for part, emptied in (("steps", {}), ("events", [])):
            if len(payload) <= self._settings.payload_limit:
                break
            content[part] = emptied
            content["use_api"] = content["ctx"]["use_api"] = True
            payload = _canonical(content)
        return payload

    # -- steps

    async def _settle(self, run: Run, ops: list[Op]) -> None:
        """Bring what was reported to its end, side by side. Raises: RunFailed."""
        if not ops:
            raise RunFailed({"name": "Error", "message": "the worker reported neither a step nor an end"})
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
                await self._settle_targeted(run, await self._execute(run, op.id))
            case "StepRun" | "Step":
                self._memoize(run, op, {"data": op.data}, data=op.data)
            case "StepError" | "StepFailed":
                self._memoize(run, op, {"error": op.error}, error=op.error)
            case "Sleep":
                await asyncio.sleep(self._settings.shortened(_nap(op.label)))
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
                raise RunFailed({"name": "Error", "message": f"opcode {op.op!r} is not known here"})

    async def _settle_targeted(self, run: Run, ops: list[Op]) -> None:
        for op in ops:
            await self._resolve(run, op)

    def _memoize(self, run: Run, op: Op, memo: Any, *, data: Any = None, error: Any = None) -> None:
        run.memos[op.id] = memo
        run.steps[op.name] = Step(op.name, op.op, data, error)
        self._changed()

    async def _event(self, run: Run, op: Op) -> dict[str, Any] | None:
        """The event that *op* waits for; None once its timeout has passed. Conditions are not evaluated."""
        waiter: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        run.waiting_for = op.label
        self._waiters.setdefault(op.label, []).append(waiter)
        self._changed()
        timeout = durations.seconds(str(op.opts.get("timeout", "")), 0.0)
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


def new_event(name: str, data: Any) -> dict[str, Any]:
    """An event as a run receives it."""
    return {"name": name, "data": {} if data is None else data, "id": ulid.new(), "ts": int(time.time() * 1000)}


def _function(app_name: str, config: dict[str, Any]) -> Function:
    retries = DEFAULT_RETRIES
    for step in (config.get("steps") or {}).values():
        retries = ((step or {}).get("retries") or {}).get("attempts", DEFAULT_RETRIES)
    triggers = config.get("triggers") or []
    events = tuple(trigger["event"] for trigger in triggers if trigger.get("event") and not trigger.get("expression"))
    return Function(config["id"], app_name, retries + 1, events)


def _nap(label: str) -> float:
    """How long a Sleep lasts: its name is a moment, or a duration."""
    try:
        return until(datetime.fromisoformat(label))
    except ValueError:
        return durations.seconds(label, 0.0)


def _uuid(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))


def _trace_context(run: Run) -> bytes:
    return b'{"traceparent":"00-%s-%s-01"}' % (uuid.uuid5(uuid.NAMESPACE_URL, run.id).hex.encode(), b"1" * 16)


def _either(chosen: bytes | None, default: bytes) -> bytes:
    return default if chosen is None else chosen


def _canonical(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
