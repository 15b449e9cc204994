"""The log answers "what happened": a line for each execution, each failure once with its exception, and no noise of libraries."""

import asyncio
import json
import logging
import re
from collections import Counter
from pathlib import Path
from typing import Any

import inngest
import pytest
from rig import Apps, closed

from connect import events
from connect.gateway import Gateway
from connect.log_format import PER_REQUEST

HERE = Path(__file__).parent
PATIENCE = 30.0


def executions(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """The records about executions, the oldest first."""
    return [record for record in caplog.records if record.name == "connect.executions"]


def fields(record: logging.LogRecord, *names: str) -> tuple[Any, ...]:
    return tuple(record.__dict__.get(name) for name in names)


@pytest.fixture
def several(apps: Apps) -> Apps:
    """Functions that come to all that an execution can come to."""

    async def work() -> str:
        return "done"

    async def break_() -> None:
        raise LookupError("no such order")

    @apps.function("steps", retries=1)
    async def steps(ctx: inngest.Context) -> str:
        await ctx.step.run("charge", work)
        await ctx.step.sleep("nap", 1)
        await ctx.group.parallel((lambda: ctx.step.run("one", work), lambda: ctx.step.run("two", work)))
        return "shipped"

    @apps.function("fails", retries=1)
    async def fails(ctx: inngest.Context) -> None:
        await break_()

    @apps.function("fails-in-a-step", retries=1)
    async def fails_in_a_step(ctx: inngest.Context) -> None:
        await ctx.step.run("charge", break_)

    @apps.function("endless")
    async def endless(ctx: inngest.Context) -> None:
        await asyncio.Event().wait()

    return apps


@pytest.mark.parametrize(
    ("slug", "lines"),
    [
        ("app-echo", ["app-echo: completed (attempt 1 of 1"]),
        (
            "app-steps",
            [
                "app-steps, step 'charge': done (attempt 1 of 2",
                "app-steps, step 'nap': sleeps (attempt 1 of 2",
                "app-steps, step 'one': planned (attempt 1 of 2",
                "app-steps, step 'one': done (attempt 1 of 2",
                "app-steps, step 'two': done (attempt 1 of 2",
                "app-steps: completed (attempt 1 of 2",
            ],
        ),
        (
            "app-fails",
            ["app-fails: failed, will be tried again (attempt 1 of 2", "app-fails: failed for good (attempt 2 of 2"],
        ),
        (
            "app-fails-in-a-step",
            [
                "app-fails-in-a-step, step 'charge': failed, will be tried again (attempt 1 of 2",
                "app-fails-in-a-step, step 'charge': failed for good (attempt 2 of 2",
                "app-fails-in-a-step: failed for good (attempt 1 of 2",
            ],
        ),
    ],
)
async def test_each_execution_is_one_line(
    gw: Gateway, several: Apps, start: Any, caplog: pytest.LogCaptureFixture, slug: str, lines: list[str]
) -> None:
    caplog.set_level("INFO")
    await start()
    run = gw.start_run(slug)
    await asyncio.wait([run.task], timeout=10) if run.task else None
    told = [record.getMessage() for record in executions(caplog)]
    ids = r", \d+\.\d{3} s, run [0-9A-Z]{26}, request [0-9A-Z]{26}\)"
    assert sorted(re.sub(ids, "", line) for line in told) == sorted(lines)
    for record in executions(caplog):
        assert fields(record, "run_id", "function") == (run.id, slug)
        assert record.__dict__["request_id"] in run.requests
        assert 0 <= record.__dict__["duration"] < 5
        assert record.__dict__["outcome"] in record.getMessage()
        assert record.__dict__["attempt"] <= record.__dict__["max_attempts"]


async def test_an_execution_that_was_taken_away_is_one_line_too(
    gw: Gateway, several: Apps, start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    worker = await start()
    gw.faults.nack()
    gw.start_run("app-endless")
    await worker.hears(events.LeaseLost)
    await worker.connection.close()
    await closed(worker)
    [record] = executions(caplog)
    assert record.getMessage().startswith("app-endless: cancelled (")


async def test_no_execution_is_logged_where_that_is_off(
    gw: Gateway, several: Apps, start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await start(log_executions=False)
    await gw.invoke("app-steps")
    assert executions(caplog) == []


# -- the command, and what error trackers see --------------------------------------------------------------------------------

FAILURES = {
    "app-fails": ("OrderError", "find", "ERROR"),
    "app-fails-sync": ("OrderError", "find", "ERROR"),
    "app-fails-in-a-step": ("OrderError", "find", "ERROR"),
    "app-retried": ("OrderError", "find", "ERROR"),
    "app-unserialisable": ("TypeError", None, "ERROR"),
}
"""Each function, the exception that says why it fails, the last frame of it that is the user's, and the level of its last line."""


@pytest.mark.parametrize("isolation", ["thread", "process"])
async def test_each_failure_is_logged_once_and_error_trackers_see_the_exception(
    gw: Gateway, start_process: Any, tmp_path: Path, isolation: str
) -> None:
    gw.heartbeat_interval = gw.extend_lease_interval = "1s"
    told = tmp_path / "events"
    worker = start_process(
        *("-m", "connect", "run", "logging_functions:apps", "--log-format", "json", "--isolation", isolation),
        *("--processes", "1") if isolation == "process" else (),
        PYTHONPATH=f"{HERE}:{HERE.parents[1]}",
        INNGEST_DEV=gw.url,
        EVENTS=str(told),
    )
    await gw.wait_for_worker(timeout=PATIENCE)
    runs = {slug: gw.start_run(slug) for slug in (*FAILURES, "app-quiet", "app-sends")}
    await asyncio.wait([run.task for run in runs.values() if run.task], timeout=PATIENCE)
    worker.signal()
    assert await asyncio.to_thread(worker.ends) == 0
    lines = [json.loads(line) for line in worker.text.splitlines()]

    seen = {event["extra"]["function"]: event for event in map(json.loads, told.read_text().splitlines())}
    assert len(told.read_text().splitlines()) == len(seen), "one event for each failure that is final"
    assert set(seen) == set(FAILURES)
    for slug, (kind, frame, _) in FAILURES.items():
        error = seen[slug]["exception"]["values"][-1]
        assert error["type"] == kind
        assert frame is None or error["stacktrace"]["frames"][-1]["function"] == frame
        assert seen[slug]["extra"]["run_id"] == runs[slug].id
        assert seen[slug]["logger"] == "connect.functions"

    failed = [line for line in lines if " failed (" in line["message"]]
    assert {line["logger"] for line in failed} == {"connect.functions"}
    levels = Counter((line["function"], line["level"]) for line in failed)
    assert "Object of type set is not JSON serializable" in worker.text
    again = {("app-retried", "warning"): 1, ("app-fails-in-a-step", "warning"): 1}
    assert levels == {(slug, level.lower()): 1 for slug, (*_, level) in FAILURES.items()} | again
    for line in failed:
        assert line["run_id"] == runs[line["function"]].id
        assert ("find" if FAILURES[line["function"]][1] else "TypeError") in line["error"]
        assert "Traceback" not in line["message"]

    of_executions = Counter(line["function"] for line in lines if line["logger"] == "connect.executions")
    assert of_executions == {slug: len(run.requests) for slug, run in runs.items()}
    assert {line["logger"] for line in lines if line["logger"].startswith((*PER_REQUEST, "inngest"))} == set()
