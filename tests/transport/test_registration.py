"""WORKER_CONNECT: what a worker says of itself, on each link."""

import datetime
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from connect import wire
from connect.secrets import Secret
from connect.transport import registration as module
from connect.transport.api import Grant
from connect.transport.registration import Registration, system_attributes
from connect.wire.codec import Kind

STARTED = datetime.datetime(2026, 1, 2, 3, 4, 5, 678_000, datetime.UTC)
GRANT = Grant("01CONNECTION", "ws://gateway.example", "group-1", Secret("session-zzyzx"), Secret("sync-zzyzx"))


@pytest.fixture
def registration() -> Registration:
    return Registration(
        instance_id="host-1",
        apps=[wire.AppConfiguration(app_name="shop", functions=b"[]"), wire.AppConfiguration(app_name="mail")],
        capabilities=b'{"connect": "v1"}',
        framework="connect",
        sdk_language="py",
        sdk_version="0.5.18",
        system=wire.SystemAttributes(cpu_cores=2, mem_bytes=1024, os="linux"),
        environment="branch",
        max_worker_concurrency=7,
        started_at=STARTED.timestamp(),
    )


def read(frame: bytes) -> wire.WorkerConnectRequestData:
    """The payload of a WORKER_CONNECT."""
    message = wire.ConnectMessage.FromString(frame)
    assert message.kind == Kind.WORKER_CONNECT
    return wire.WorkerConnectRequestData.FromString(message.payload)


def test_it_says_all_that_it_was_given(registration: Registration) -> None:
    said = read(registration.frame(GRANT))
    assert said.connection_id == "01CONNECTION"
    assert (said.auth_data.session_token, said.auth_data.sync_token) == ("session-zzyzx", "sync-zzyzx")
    assert said.instance_id == "host-1"
    assert [app.app_name for app in said.apps] == ["shop", "mail"]
    assert said.capabilities == b'{"connect": "v1"}'
    assert (said.framework, said.sdk_language, said.sdk_version) == ("connect", "py", "0.5.18")
    assert (said.system_attributes.cpu_cores, said.system_attributes.mem_bytes, said.system_attributes.os) == (
        2,
        1024,
        "linux",
    )
    assert (said.environment, said.max_worker_concurrency) == ("branch", 7)
    assert abs(said.started_at.ToDatetime(datetime.UTC) - STARTED) < datetime.timedelta(milliseconds=1)


def test_it_asks_for_no_work_before_worker_ready(registration: Registration) -> None:
    assert read(registration.frame(GRANT)).worker_manual_readiness_ack


def test_what_is_not_set_is_not_sent(registration: Registration) -> None:
    said = read(replace(registration, environment=None, max_worker_concurrency=None).frame(GRANT))
    assert not said.HasField("environment")
    assert not said.HasField("max_worker_concurrency")


def test_no_limit_is_sent_as_zero(registration: Registration) -> None:
    """The server forgets an earlier limit then."""
    said = read(replace(registration, max_worker_concurrency=0).frame(GRANT))
    assert said.HasField("max_worker_concurrency")
    assert said.max_worker_concurrency == 0


def test_each_link_has_its_own_connection_and_tokens(registration: Registration) -> None:
    other = GRANT._replace(connection_id="01OTHER", session_token=Secret("other"))
    first, second = read(registration.frame(GRANT)), read(registration.frame(other))
    assert (first.connection_id, second.connection_id) == ("01CONNECTION", "01OTHER")
    assert second.auth_data.session_token == "other"
    assert first.started_at == second.started_at


def test_this_machine_is_described() -> None:
    system = system_attributes()
    assert system.cpu_cores >= 1
    assert system.mem_bytes > 1024**2
    assert system.os == sys.platform or system.os in ("darwin", "windows")


@pytest.mark.parametrize("meminfo", [None, b"", b"MemTotal:", b"MemTotal: much kB"])
def test_its_memory_is_what_psutil_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, meminfo: bytes | None) -> None:
    """Also where /proc has none of it: on macOS and Windows, and in some sandboxes."""
    total = psutil.virtual_memory().total
    assert system_attributes().mem_bytes == total
    if meminfo is not None:
        (tmp_path / "meminfo").write_bytes(meminfo)
    monkeypatch.setattr(module, "_MEMORY", tmp_path / "meminfo")
    assert system_attributes().mem_bytes == total
