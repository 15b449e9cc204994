"""Nothing keeps the frames of an execution that has ended: exception and locals go with the reply, without the collector."""

import asyncio
import gc
import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from failing_functions import AWAITED, FAILURES, HOOKS
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from connect import events
from connect.gateway import Gateway
from connect.log_format import TextLines

SYNC = [f"{kind} in {place}" for kind in FAILURES for place in ("sync", "step-sync")]
ASYNC = [f"{kind} in {place}" for kind in (*FAILURES, *AWAITED) for place in ("async", "step")]
PARALLEL = ["plain in parallel", "plain in parallel-sync", "nested in parallel", "in a task in parallel"]
PATIENCE = 30.0


@contextmanager
def uncollected() -> Iterator[None]:
    """The log is formatted, and its records are not kept, as pytest would; the collector is on again at the end."""
    root, ours = logging.getLogger(), logging.StreamHandler(io.StringIO())
    ours.setFormatter(TextLines())
    theirs, root.handlers = root.handlers, [ours]
    try:
        yield
    finally:
        root.handlers = theirs
        gc.enable()


def _each(gw: Gateway) -> dict[str, Any]:
    runs = {}
    for name in (*SYNC, *ASYNC, *PARALLEL):
        kind, _, place = name.rpartition(" in ")
        runs[name] = gw.start_run(f"app-{place}", {"kind": kind})
    for hook in HOOKS:
        for place in ("sync", "async"):
            runs[f"{hook} of {place}"] = gw.start_run(f"app-{place}", {"kind": "plain", "hook": hook})
    runs["on_failure"] = gw.start_run("app-on-failure")
    return runs


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """The spans that have ended, which keep what was recorded of an exception."""
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", lambda name, version=None: provider.get_tracer(name, version))
    yield exporter
    provider.shutdown()


@pytest.mark.parametrize("isolation", ["none", "thread", "process"])
async def test_a_failure_leaves_nothing_behind(
    gw: Gateway, start: Any, isolation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INNGEST_DEV", gw.url)
    options = {"processes": 1} if isolation == "process" else {}
    await _check_failures(gw, start, isolation=isolation, **options)


@pytest.mark.parametrize("isolation", ["none", "thread"])
async def test_neither_traces_nor_asyncios_debug_mode_keep_anything(
    gw: Gateway, start: Any, isolation: str, monkeypatch: pytest.MonkeyPatch, spans: InMemorySpanExporter
) -> None:
    monkeypatch.setenv("INNGEST_DEV", gw.url)
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    asyncio.get_running_loop().set_debug(True)
    await _check_failures(gw, start, isolation=isolation, traces=True)
    failed = [each for each in spans.get_finished_spans() if each.status.status_code is StatusCode.ERROR]
    assert len(failed) > 50


async def _check_failures(gw: Gateway, start: Any, **options: Any) -> None:
    with uncollected():
        worker = await start("failing_functions:apps", api_base_url=gw.url, **options)
        await gw.invoke("app-begin")
        runs = _each(gw)
        await asyncio.wait([run.task for run in runs.values() if run.task], timeout=PATIENCE)
        assert {name: run.status for name, run in runs.items() if run.status != "failed"} == {}
        for count in (1, 2):
            gw.start_run("app-endless")
            gw.faults.nack(1000)  # the first ones may be for requests whose replies are on their way
            await worker.hears(events.LeaseLost, count)
            gw.faults.clear()
        assert (await gw.invoke("app-left")).output == []
        assert (await gw.invoke("app-end")).output > 300
