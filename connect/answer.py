"""Answers: what a request has come to, as the bytes of its reply; the log and listeners are told of it."""

import asyncio
import logging
from typing import NamedTuple, Protocol, TypeAlias

from connect import wire
from connect.delivery.replies import BROKEN, CANCELLED, serialise
from connect.events import RequestCompleted
from connect.execution import Outcome, report
from connect.execution.outcome import CANCELLED_OP, STATUS_NAMES
from connect.listeners import Listeners
from connect.log_format import about_request
from connect.redaction import logger


class Made(NamedTuple):
    """A reply that was made, serialised and told of before."""

    reply: bytes


Answer: TypeAlias = Outcome | Made
"""What a request has come to."""

Pending: TypeAlias = asyncio.Future[Outcome] | asyncio.Future[Answer]
"""An answer that is on its way."""

log = logger("connect.requests")


class Answered(Protocol):
    """A request that has its answer."""

    id: str
    data: wire.GatewayExecutorRequestData
    accepted_at: float

    @property
    def names(self) -> tuple[str, str, str, str]: ...

    def note_cancelled(self) -> None:
        """The answer is that it was cancelled, or kept from beginning."""


class Answers:
    """Makes replies, for all requests of a worker. On the connection's loop only."""

    def __init__(self, listeners: Listeners, *, log_executions: bool) -> None:
        self._listeners = listeners
        self._log_executions = log_executions
        self._loop = asyncio.get_running_loop()

    def reply(self, request: Answered, task: Pending) -> bytes:
        """The reply to *request*, serialised. *task* has ended: with an answer, with an error, or cancelled."""
        if task.cancelled():
            return self._reply(request, CANCELLED)
        error = task.exception()
        try:
            if error is None:
                answer = task.result()
                return answer.reply if isinstance(answer, Made) else self._reply(request, answer)
        except Exception as unfit:  # the outcome of a user's executor
            error = unfit
        self._log_error(request, error)
        return self._reply(request, BROKEN)

    def drop(self, request: Answered, task: Pending) -> None:
        """As `reply`, for a request that has ended before: what it came to is told, and nothing is sent."""
        if task.cancelled():
            self._log_execution(request, CANCELLED)
        elif error := task.exception():
            self._log_error(request, error)
        elif isinstance(answer := task.result(), Outcome):
            self._tell(request, answer)

    def _log_error(self, request: Answered, error: BaseException) -> None:
        about = about_request(request.id, request.data.run_id, request.data.function_slug)
        log.error("the executor failed on request %s", request.id, exc_info=error, extra=about)

    def _reply(self, request: Answered, outcome: Outcome) -> bytes:
        self._tell(request, outcome)
        return serialise(request.data, outcome)

    def _tell(self, request: Answered, outcome: Outcome) -> None:
        if log.isEnabledFor(logging.DEBUG):
            took = self._loop.time() - request.accepted_at
            log.debug("request %s replied: %s after %.3f s", request.id, STATUS_NAMES[outcome.status], took)
        self._log_execution(request, outcome)
        if outcome.op == CANCELLED_OP:
            request.note_cancelled()
        if self._listeners.wants(RequestCompleted):
            self._listeners.emit(
                RequestCompleted(
                    request_id=request.id,
                    run_id=request.data.run_id,
                    function_slug=request.data.function_slug,
                    status=STATUS_NAMES[outcome.status],
                    duration=self._loop.time() - request.accepted_at,
                )
            )

    def _log_execution(self, request: Answered, outcome: Outcome) -> None:
        if self._log_executions and report.log.isEnabledFor(logging.INFO):
            report.log_execution(request.names, request.data.step_id, outcome, self._loop.time() - request.accepted_at)
