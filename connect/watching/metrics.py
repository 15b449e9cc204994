"""A worker's Prometheus metrics: counted from its events, and read from its status at each scrape.

Counting begins when the worker is made. Each worker has a registry of its own, so several workers in a process do not mix. Names
begin with `inngest_connect_`; times are seconds.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from connect import events
from connect.status import ConnectionState, Status, ThreadStatus
from connect.watching.source import Source

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
STATES: Final[tuple[ConnectionState, ...]] = tuple(
    state for state in ConnectionState if state not in (ConnectionState.CLOSING, ConnectionState.PAUSED)
)

UNKNOWN: Final = "unknown"
"""The label for a function that the worker does not have: a gateway may name any number of those."""
_REASONS: Final = frozenset(
    {
        "connect_authentication_failed",
        "connect_gateway_closing",
        "connect_internal_error",
        "connect_run_invalid_message",
        "connect_too_many_apps_per_connection",
        "connect_worker_hello_invalid_msg",
        "connect_worker_hello_invalid_payload",
        "connect_worker_hello_timeout",
        "connect_worker_request_ack_invalid_payload",
        "connect_worker_request_extend_lease_invalid_payload",
    }
)
"""The close reasons of the server (PROTOCOL.md §2.1, §4.1). Others get no label of their own."""
_CODES: Final = range(1000, 1016)
"""The close codes of WebSocket itself. Others, some thousands, get no label of their own."""

_INFO: Final = (
    "instance_id",
    "host",
    "api",
    "mode",
    "env",
    "isolation",
    "version",
    "sdk_version",
    "python_version",
    "aiohttp_version",
)
"""What of a `WorkerInfo` is a label of `worker_info`."""

_FAST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_SLOW: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)


class Metrics:
    """The metrics of one worker. Make it before the worker starts, on the loop that is to receive the worker's events.

    *functions*: ids of the worker's functions, each of which is a label.
    """

    def __init__(self, worker: Source, functions: Collection[str] = ()) -> None:
        self._functions = frozenset(functions)
        self._registry = CollectorRegistry()
        self._present = _Present(worker)
        self._registry.register(self._present)
        ProcessCollector(registry=self._registry)
        self._removers = [worker.on(kind, count) for kind, count in self._counters()]

    def page(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def stop(self) -> None:
        """Count no more."""
        for remove in self._removers:
            remove()

    def _counters(self) -> Iterable[tuple[type[Any], Callable[[Any], object]]]:
        yield from self._of_the_connection()
        yield from self._of_requests()
        yield from self._of_replies()

    def _of_the_connection(self) -> Iterable[tuple[type[Any], Callable[[Any], object]]]:
        moves = self._counter("transitions", "Transitions that a chart took.", "chart", "event", "source", "target")
        losses = self._counter("link_losses", "Links in use that ended without the worker closing them.", "cause")
        failures = self._counter("failed_attempts", "Attempts to connect that failed.", "error")
        links = self._counter("links", "Links that were taken into use.")
        away = self._histogram("reconnect_seconds", "From leaving ACTIVE to the next ACTIVE.", _SLOW, "cause")
        beat = self._histogram("heartbeat_seconds", "From a heartbeat to its answer.", _FAST)

        yield (
            events.Moved,
            lambda move: moves.labels(move.chart, move.event, move.source[-1], move.target[-1]).inc(),
        )
        yield events.Disconnected, lambda event: losses.labels(_cause(event)).inc() if _is_loss(event) else None
        yield events.Reconnecting, lambda event: failures.labels(type(event.error).__name__).inc()
        yield events.Connected, lambda _: links.inc()
        yield events.HeartbeatAnswered, lambda event: beat.observe(event.round_trip)
        yield events.StateChanged, self._present.enter
        yield events.StateChanged, _Absence(away).note

    def _of_requests(self) -> Iterable[tuple[type[Any], Callable[[Any], object]]]:
        received = self._counter("requests_received", "Executions that were accepted.", "function")
        completed = self._counter("requests", "Executions that ended with an outcome.", "function", "status")
        taken = self._histogram("request_seconds", "From acceptance to the outcome.", _SLOW, "function")
        lost = self._counter("leases_lost", "Executions that the server took away.", "function")
        blocked = self._counter(
            "loop_blocked", "Times that the functions' event loop was blocked for long.", "function"
        )
        for function in (*self._functions, UNKNOWN):
            blocked.labels(function)  # at 0: an alert on its increase misses a counter that begins with 1
        extended = self._counter("lease_extensions", "Leases that the server extended.")
        late = self._histogram("lease_late_seconds", "How late the worker asked to extend a lease.", _FAST)

        def extend(event: events.LeaseExtended) -> None:
            extended.inc()
            late.observe(max(0.0, event.late))

        def complete(event: events.RequestCompleted) -> None:
            function = self._function(event.function_slug)
            completed.labels(function, event.status).inc()
            taken.labels(function).observe(event.duration)

        yield events.RequestReceived, lambda event: received.labels(self._function(event.function_slug)).inc()
        yield events.RequestCompleted, complete
        yield events.LeaseExtended, extend
        yield events.LoopBlocked, lambda event: blocked.labels(self._function(event.function_slug)).inc()
        yield events.LeaseLost, lambda event: lost.labels(self._function(event.function_slug)).inc()

    def _function(self, slug: str) -> str:
        return slug if slug in self._functions else UNKNOWN

    def _of_replies(self) -> Iterable[tuple[type[Any], Callable[[Any], object]]]:
        flushes = self._counter("flushes", "Attempts to deliver a reply over HTTP.", "result")
        buffered = self._counter("replies_buffered", "Replies that the gateway did not acknowledge in time.")
        lost = self._counter("replies_lost", "Replies that will never be delivered.")

        yield events.ReplyBuffered, lambda _: buffered.inc()
        yield events.ReplyFlushed, lambda _: flushes.labels("delivered").inc()
        yield events.FlushFailed, lambda _: flushes.labels("failed").inc()
        yield events.ReplyLost, lambda _: lost.inc()

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(f"inngest_connect_{name}", help_text, labels, registry=self._registry)

    def _histogram(self, name: str, help_text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"inngest_connect_{name}", help_text, labels, registry=self._registry, buckets=buckets)


class _Present(Collector):
    """The worker's present status, read at each scrape, and the seconds that it has spent in each state."""

    def __init__(self, worker: Source) -> None:
        self._worker = worker
        self._seconds = dict.fromkeys(STATES, 0.0)
        self._state = worker.status().state
        self._since = time.monotonic()

    def enter(self, change: events.StateChanged) -> None:
        self._add_up()
        self._state = change.to_state

    def _add_up(self) -> None:
        now = time.monotonic()
        self._seconds[self._state] += now - self._since
        self._since = now

    def collect(self) -> Iterable[Any]:
        """The metrics; the registry calls this at each scrape."""
        self._add_up()
        status = self._worker.status()
        state = GaugeMetricFamily("inngest_connect_state", "1 for the state the worker is in.", labels=["state"])
        seconds = CounterMetricFamily("inngest_connect_state_seconds", "Seconds in each state.", labels=["state"])
        for each in STATES:
            state.add_metric([each.value], status.state is each)
            seconds.add_metric([each.value], self._seconds[each])
        yield from (state, seconds)
        yield _gauge("ready", "1 while the worker takes work.", status.is_ready)
        yield _gauge("in_flight", "Executions accepted and not yet delivered.", len(status.in_flight))
        yield _gauge("outbox_replies", "Replies not yet delivered.", status.outbox_replies)
        yield _gauge("outbox_bytes", "Bytes of replies not yet delivered.", status.outbox_bytes)
        threads = status.threads or ThreadStatus(0)
        yield _gauge("threads", "Threads for sync functions; 0: they run on the event loop.", threads.threads)
        yield _gauge("thread_waiting", "Sync functions that wait for a thread.", threads.waiting)
        yield CounterMetricFamily(
            "inngest_connect_thread_waits", "Sync functions that had to wait for a thread.", threads.waited
        )
        yield from _identity(status)
        yield CounterMetricFamily(
            "inngest_connect_unexpected_events",
            "Events that a chart does not expect in its state: each is a bug in the worker.",
            status.unexpected_events,
        )


class _Absence:
    """Measures each time from leaving ACTIVE to the next ACTIVE."""

    def __init__(self, histogram: Histogram) -> None:
        self._histogram = histogram
        self._left: tuple[float, str] | None = None

    def note(self, change: events.StateChanged) -> None:
        if change.from_state is ConnectionState.ACTIVE:
            self._left = (time.monotonic(), change.event)
        elif change.to_state is ConnectionState.ACTIVE and self._left:
            since, cause = self._left
            self._histogram.labels(cause).observe(time.monotonic() - since)
            self._left = None


def _identity(status: Status) -> Iterable[GaugeMetricFamily]:
    """Which worker this is. The value is always 1, and the labels say it."""
    info = status.worker
    about = {name: str(getattr(info, name, None) or "") for name in _INFO}
    apps = info.apps if info else ()
    yield _labelled("worker_info", "Which worker this is.", [about] if info else [])
    yield _labelled(
        "app_info", "The worker's apps.", [{"app": app.app_id, "app_version": app.version or ""} for app in apps]
    )
    functions = [{"app": app.app_id, "function": function} for app in apps for function in app.functions]
    yield _labelled("function_info", "The worker's functions.", functions)


def _labelled(name: str, help_text: str, rows: Sequence[Mapping[str, str]]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"inngest_connect_{name}", help_text, labels=list(rows[0]) if rows else [])
    for row in rows:
        family.add_metric(list(row.values()), 1)
    return family


def _gauge(name: str, help_text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"inngest_connect_{name}", help_text, value)


def _is_loss(event: events.Disconnected) -> bool:
    return event.reason != "WORKER_SHUTDOWN"


def _cause(event: events.Disconnected) -> str:
    """The label: one of the server's reasons, or the kind of loss. A peer may send any other text and code: no label for those."""
    if event.reason in _REASONS:
        return event.reason
    if "heartbeats" in event.reason:
        return "silence"
    if event.code == 1006:
        return "no close frame"
    return str(event.code) if event.code in _CODES else "other"
