"""Look-ups of names: user code cannot delay them, and those that hang delay nothing else."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from connect import Deadlines, events
from connect.gateway import Gateway
from connect.transport import names
from connect.transport.names import Names

LookUp = Callable[..., Any]
FOUND = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1))


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The look-ups that hang until the end of the test, by name: those of names that end in `.hangs`. Others are found."""
    asked: list[str] = []
    free = threading.Event()
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, *given: Any, **named: Any) -> Any:
        asked.append(str(host))
        if str(host).endswith(".hangs"):
            free.wait(30)
        return real("127.0.0.1", port, *given, **named)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield asked
    free.set()
    for thread in threading.enumerate():
        if thread.name == "connect-names":
            thread.join(5)


@pytest.mark.parametrize("isolation", ["none", "thread"])
async def test_a_full_default_executor_delays_no_connection(gw: Gateway, start: Any, isolation: str) -> None:
    """`asyncio.to_thread` of user code takes all of its threads; asyncio's own look-ups would wait behind that."""
    loop, free = asyncio.get_running_loop(), threading.Event()
    blocked = [loop.run_in_executor(None, free.wait, 30) for _ in range(64)]
    try:
        url = f"http://localhost:{gw.port}"
        worker = await start(isolation=isolation, api_base_url=url, gateway_url=url.replace("http", "ws"))
        assert worker.is_ready
    finally:
        free.set()
        await asyncio.gather(*blocked)


@pytest.mark.parametrize("who", ["API", "gateway", "proxy"])
async def test_a_look_up_that_takes_too_long_is_blamed_on_no_server(
    gw: Gateway, start: Any, hanging: list[str], who: str
) -> None:
    options = {
        "API": {"api_base_url": "http://inngest.hangs"},
        "gateway": {"gateway_url": "ws://inngest.hangs/x"},
        "proxy": {"proxy": "inngest.hangs:3128"},
    }
    worker = await start(ready=False, deadlines=Deadlines(start=0.1, socket=0.1), **options[who])
    failed = await worker.hears(events.Reconnecting)
    of_proxy = " of the proxy inngest.hangs:3128 (proxy)" if who == "proxy" else ""
    assert f"the name inngest.hangs{of_proxy} could not be looked up within 0.1 s" in str(failed.error)


async def test_a_name_that_does_not_exist_is_no_fault_of_the_api(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    worker = await start(ready=False, api_base_url="http://inngest.invalid")
    failed = await worker.hears(events.Reconnecting)
    told = "/v0/connect/start: the name inngest.invalid does not exist (Name or service not known)"
    assert told in str(failed.error)


async def test_one_look_up_serves_all_that_ask_meanwhile(hanging: list[str]) -> None:
    known = Names()
    waiting = [asyncio.create_task(known.look_up("a.hangs", 1)) for _ in range(20)]
    await asyncio.sleep(0.05)
    assert hanging == ["a.hangs"]
    for each in waiting:
        each.cancel()
    await asyncio.wait(waiting)


async def test_look_ups_that_hang_neither_pile_up_nor_delay_others(
    hanging: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hung one gets help from others, but not for ever; another name is looked up meanwhile, as long as threads are left."""
    monkeypatch.setattr(names, "AGAIN_SECONDS", 0.0)
    known = Names()
    waiting = [asyncio.create_task(known.look_up("a.hangs", 1)) for _ in range(20)]
    await asyncio.sleep(0.05)
    assert len(hanging) == names.FOR_ONE_NAME
    async with asyncio.timeout(5):
        assert [each[4] for each in await known.look_up("b.found", 1)] == [("127.0.0.1", 1)]
    waiting += [asyncio.create_task(known.look_up(f"{letter}.hangs", 1)) for letter in "cdefgh"]
    await asyncio.sleep(0.05)
    assert len(hanging) == names.THREADS + 1
    with pytest.raises(OSError, match="8 earlier look-ups still hang"):
        await known.look_up("i.found", 1)
    for each in waiting:
        each.cancel()
    await asyncio.wait(waiting)
    assert all(each.daemon for each in threading.enumerate() if each.name == "connect-names")


async def test_an_answer_is_used_again_for_seconds_only(hanging: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A deploy gives a name other addresses."""
    known = Names()
    for _ in range(3):
        await known.look_up("a.found", 1)
    assert len(hanging) == 1
    monkeypatch.setattr(names, "KEPT_SECONDS", 0.0)
    known = Names()
    for _ in range(3):
        await known.look_up("a.found", 1)
    assert len(hanging) == 4


async def test_all_addresses_of_a_name_are_tried(gw: Gateway, start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """IPv6 before IPv4, a dead one before a living one."""

    def look_up(_: Any, port: int, *__: Any, **___: Any) -> Any:
        six = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0))
        return [six, *((*FOUND[:4], (host, port)) for host in ("127.0.0.9", "127.0.0.1"))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    worker = await start(api_base_url=f"http://localhost:{gw.port}", gateway_url=f"ws://localhost:{gw.port}")
    assert worker.is_ready


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", ("127.0.0.1", 1)),
        ("::1", ("::1", 1, 0, 0)),
        ("fe80::1%1", ("fe80::1", 1, 0, 1)),
        ("fe80::1%lo", ("fe80::1", 1, 0, socket.if_nametoindex("lo"))),
    ],
)
async def test_an_address_needs_no_look_up(hanging: list[str], host: str, address: Any) -> None:
    """With a zone, asyncio would look it up in its default executor."""
    assert [each[4] for each in await Names().look_up(host, 1)] == [address]
    assert hanging == []
