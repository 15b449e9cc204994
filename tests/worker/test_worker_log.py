"""The worker's log lines, and when they are written."""

import logging
import signal
import threading
from typing import Any

import inngest
import pytest
from rig import DOWN, Apps, Held, at_work, closed, finish, patient

from connect import events
from connect.gateway import Gateway, Kind

KEY = "signkey-test-" + "ab" * 16


def said(caplog: pytest.LogCaptureFixture, level: int = logging.INFO) -> list[str]:
    """The worker's own lines of at least this level."""
    return [each.getMessage() for each in caplog.records if each.name.startswith("connect") and each.levelno >= level]


def about(lines: list[str], *texts: str) -> list[int]:
    """The positions of the lines that contain *texts*, in the order of *texts*."""
    return [next(number for number, line in enumerate(lines) if text in line) for text in texts]


# -- a key that is not used --------------------------------------------------------------------------------------------------


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("INNGEST_DEV", "INNGEST_SIGNING_KEY"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def client_of(gw: Gateway, **options: Any) -> Any:
    client = inngest.Inngest(app_id="app", **options)

    async def nothing(ctx: inngest.Context) -> None: ...

    return [(client, [client.create_function(fn_id="f", trigger=inngest.TriggerEvent(event="e"))(nothing)])]


@pytest.mark.parametrize(
    ("dev", "options", "says"),
    [
        ("", {"is_production": False}, "the client has is_production=False"),
        ("URL", {}, "INNGEST_DEV is set"),
    ],
)
async def test_a_signing_key_in_development_mode_is_warned_of_once(
    gw: Gateway,
    start: Any,
    variables: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    dev: str,
    options: Any,
    says: str,
) -> None:
    variables.setenv("INNGEST_DEV", dev.replace("URL", gw.url))
    variables.setenv("INNGEST_SIGNING_KEY", KEY)
    worker = await start(client_of(gw, api_base_url=gw.url, **options))
    gw.connections[0].drop()
    await worker.hears(events.Connected, 2)
    [warning] = [line for line in said(caplog, logging.WARNING) if "signing key" in line]
    assert says in warning
    assert gw.url in warning
    assert KEY not in caplog.text


async def test_a_key_that_is_used_and_a_mode_without_a_key_are_not_warned_of(
    gw: Gateway, start: Any, variables: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await start(client_of(gw, api_base_url=gw.url, is_production=False))
    await start(client_of(gw, is_production=False), signing_key=KEY, api_base_url=gw.url)
    variables.setenv("INNGEST_SIGNING_KEY", KEY)
    await start(client_of(gw, api_base_url=gw.url, is_production=True))
    assert not [line for line in said(caplog, logging.WARNING) if "signing key" in line]


# -- shutdown ----------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("quiet")
async def test_a_shutdown_is_told_in_the_order_of_its_happening(
    gw: Gateway, held: Held, start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    worker = await start(shutdown_signals=[signal.SIGUSR1])
    run = await at_work(gw, held)
    signal.raise_signal(signal.SIGUSR1)
    await gw.wait_for(Kind.WORKER_PAUSE)
    await finish(held, run)
    await closed(worker)
    lines = said(caplog)
    there = about(lines, "→ DRAINING", "shutting down, executions in flight: 1; a second signal", "→ CLOSED (idle)")
    assert there == sorted(there)


@pytest.mark.usefixtures("quiet")
async def test_where_no_signal_would_cancel_anything_none_is_spoken_of(
    start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    worker = await start(shutdown_signals=[signal.SIGUSR1])
    await worker.close()
    await closed(worker)
    assert "shutting down, executions in flight: 0" in said(caplog)


async def test_signals_after_the_second_are_told_what_is_waited_for(
    gw: Gateway, apps: Apps, start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    go, there = threading.Event(), threading.Event()

    @apps.function("stuck")
    def stuck(ctx: inngest.ContextSync) -> None:
        there.set()
        go.wait(10)

    worker = await start(shutdown_signals=[signal.SIGUSR1])
    run = gw.start_run("app-stuck")
    await gw.wait_for(Kind.WORKER_REQUEST_ACK)
    await gw.until(there.is_set)
    for _ in range(3):
        signal.raise_signal(signal.SIGUSR1)
    await gw.wait_for(Kind.WORKER_PAUSE)
    go.set()
    await closed(worker)
    [request] = run.requests
    assert f"still waiting, at most 5 s in all, for executions: 1 ({request}), replies: 0" in said(caplog)


async def test_a_worker_that_never_had_a_link_is_told_of_without_one(
    gw: Gateway, start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    gw.starts.standing = DOWN
    worker = await start(ready=False, retry=patient())
    await worker.hears(events.Reconnecting)
    await worker.close()
    await closed(worker)
    assert "CONNECTING → CLOSED (shutdown)" in said(caplog)


# -- requests ----------------------------------------------------------------------------------------------------------------


async def test_at_debug_a_request_is_seen_to_come_be_leased_and_be_answered(
    gw: Gateway, held: Held, start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    worker = await start()
    run = await at_work(gw, held)
    await worker.hears(events.LeaseExtended)
    await finish(held, run)
    await worker.close(wait=True)
    [request] = run.requests
    lines = [line for line in said(caplog, logging.DEBUG) if line.startswith(f"request {request}")]
    assert lines[0] == f"request {request} received: run {run.id}, app-hold"
    assert lines[1] == f"request {request}: its lease is extended"
    assert lines[-1].startswith(f"request {request} replied: DONE after ")
