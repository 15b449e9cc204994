"""What the command tells a service manager, over real datagram sockets."""

import asyncio
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from notify_kit import NotifySocket

from connect.cli.service_manager import ServiceManager


@pytest.fixture
def theirs(tmp_path: Path) -> Iterator[NotifySocket]:
    made = NotifySocket(str(tmp_path / "notify"))
    yield made
    made.close()


async def test_it_is_told_what_it_does_not_know(theirs: NotifySocket) -> None:
    manager = ServiceManager(theirs.address)
    with manager.watches():
        manager.tell(READY="1", STATUS="ACTIVE")
        manager.tell(READY="1", STATUS="ACTIVE")
        manager.tell(READY="1", STATUS="DRAINING: \ud800")
        assert theirs.heard() == ["READY=1\nSTATUS=ACTIVE", "STATUS=DRAINING: \\ud800"]


@pytest.mark.skipif(not hasattr(os, "uname") or os.uname().sysname != "Linux", reason="abstract sockets are Linux's")
async def test_an_abstract_socket_will_do() -> None:
    theirs = NotifySocket(f"@connect-{os.getpid()}-notify")
    manager = ServiceManager(theirs.address)
    with contextlib.closing(theirs), manager.watches():
        manager.tell(READY="1")
        assert theirs.heard() == ["READY=1"]


@pytest.mark.parametrize("name", ["missing", "x" * 200])
async def test_a_socket_that_cannot_be_reached_is_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    manager = ServiceManager(str(tmp_path / name), 0.002)
    with manager.watches():
        manager.tell(READY="1")
        await asyncio.sleep(0.01)
        manager.tell(STOPPING="1")
    [warning] = [record.getMessage() for record in caplog.records]
    assert warning.startswith(f"the service manager hears nothing of this worker: NOTIFY_SOCKET is {tmp_path}")


async def test_what_could_not_be_said_is_said_later(tmp_path: Path) -> None:
    manager = ServiceManager(str(tmp_path / "notify"))
    with manager.watches():
        manager.tell(READY="1")
        with contextlib.closing(NotifySocket(str(tmp_path / "notify"))) as theirs:
            manager.tell(STATUS="ACTIVE")
            assert theirs.heard() == ["READY=1\nSTATUS=ACTIVE"]


@pytest.mark.parametrize("pid", [(), ("WATCHDOG_PID",)], ids=["no pid", "our pid"])
async def test_signs_of_life_come_twice_in_the_time_of_the_watchdog(
    theirs: NotifySocket, monkeypatch: pytest.MonkeyPatch, pid: tuple[str, ...]
) -> None:
    """The variables are gone then: what the command starts does not have them."""
    given = {"NOTIFY_SOCKET": theirs.address, "WATCHDOG_USEC": "40000", **{name: str(os.getpid()) for name in pid}}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    manager = ServiceManager.of_environment()
    assert not set(given) & set(os.environ)
    began = asyncio.get_running_loop().time()
    with manager.watches():
        assert [await theirs.hears() for _ in range(3)] == ["WATCHDOG=1"] * 3
    assert asyncio.get_running_loop().time() - began >= 3 * 0.02
    await asyncio.sleep(0.03)
    assert not theirs.heard()


@pytest.mark.parametrize(
    "given",
    [
        {"WATCHDOG_USEC": "20", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "-1"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "9" * 400},
        {},
    ],
)
async def test_no_sign_is_given_where_none_is_wanted(
    theirs: NotifySocket, monkeypatch: pytest.MonkeyPatch, given: dict[str, str]
) -> None:
    for name, value in {"NOTIFY_SOCKET": theirs.address, **given}.items():
        monkeypatch.setenv(name, value)
    with ServiceManager.of_environment().watches():
        await asyncio.sleep(0.01)
    assert not theirs.heard()
    assert "WATCHDOG_USEC" not in os.environ


async def test_without_a_service_manager_nothing_happens(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "20")
    manager = ServiceManager.of_environment()
    with manager.watches():
        manager.tell(READY="1")
        await asyncio.sleep(0.01)
    assert not caplog.records
