"""Look-ups of names on a few threads."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from connect.transport import names
from connect.transport.names import Names

FOUND = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1))]


class Server:
    """A name server: by name, what is found, or an error. Names that end in `.hangs` are answered when *free* is set."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.asked: list[str] = []
        self.answers: dict[str, Any] = {}
        self.threads: set[str] = set()

    def look_up(self, host: str, *_: Any, **__: Any) -> Any:
        self.asked.append(host)
        self.threads.add(threading.current_thread().name)
        if host.endswith(".hangs"):
            self.free.wait(30)
        answer = self.answers.get(host, FOUND)
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server()
    monkeypatch.setattr(socket, "getaddrinfo", made.look_up)
    yield made
    made.free.set()
    for each in threading.enumerate():
        if each.name == "connect-names":
            each.join(5)


async def gone(tasks: list["asyncio.Task[Any]"]) -> None:
    for each in tasks:
        each.cancel()
    await asyncio.wait(tasks)


@pytest.mark.parametrize(
    "error",
    [
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
        OSError(24, "Too many open files"),
        UnicodeError("label empty or too long"),
        MemoryError(),
    ],
)
async def test_a_look_up_that_fails_is_raised_and_made_again_next_time(server: Server, error: Exception) -> None:
    server.answers["a"] = error
    known = Names()
    for _ in range(2):
        with pytest.raises(type(error)):
            await known.look_up("a", 1)
    server.answers["a"] = FOUND
    assert await known.look_up("a", 1) == FOUND
    assert server.asked == ["a"] * 3
    assert server.threads == {"connect-names"}


async def test_all_who_wait_get_one_answer_and_may_leave_before_it(server: Server) -> None:
    known = Names()
    waiting = [asyncio.create_task(known.look_up("a.hangs", 1)) for _ in range(3)]
    await asyncio.sleep(0.01)
    await gone(waiting[:1])
    server.free.set()
    assert await asyncio.gather(*waiting[1:]) == [FOUND, FOUND]
    assert server.asked == ["a.hangs"]


async def test_an_answer_counts_for_one_port(server: Server) -> None:
    known = Names()
    for port in (1, 2, 1):
        await known.look_up("a", port)
    assert len(server.asked) == 2


async def test_who_asks_late_helps_a_look_up_that_hangs(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name server that dropped one question may answer the next. The first answer is for all."""
    monkeypatch.setattr(names, "AGAIN_SECONDS", 0.01)
    real: Callable[..., Any] = server.look_up
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *given, **named: real(host if not server.asked else "a", *given, **named)
    )
    known = Names()
    first = asyncio.create_task(known.look_up("a.hangs", 1))
    await asyncio.sleep(0.05)
    async with asyncio.timeout(5):
        assert await known.look_up("a.hangs", 1) == FOUND
        assert await first == FOUND


async def test_threads_have_a_bound_in_the_process(server: Server) -> None:
    """Whoever asks beyond it is told so at once. Threads that become free are used again."""
    several = [Names(), Names()]
    waiting = [asyncio.create_task(several[at % 2].look_up(f"{at}.hangs", 1)) for at in range(names.THREADS)]
    await asyncio.sleep(0.05)
    for known in several:
        with pytest.raises(OSError, match=f"{names.THREADS} earlier look-ups still hang") as failed:
            await known.look_up("a", 1)
        assert failed.value.errno == socket.EAI_AGAIN
    running = [each for each in threading.enumerate() if each.name == "connect-names"]
    assert len(running) == names.THREADS == len(server.asked)
    server.free.set()
    assert await asyncio.gather(*waiting) == [FOUND] * names.THREADS
    for each in running:
        each.join(5)
    assert await several[0].look_up("a", 1) == FOUND


async def test_without_a_thread_the_look_up_fails_and_nothing_is_used_up(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    known = Names()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        for _ in range(names.THREADS + 1):
            with pytest.raises(OSError, match="can't start new thread"):
                await known.look_up("a", 1)
    assert await known.look_up("a", 1) == FOUND


def test_an_answer_that_comes_after_the_loop_harms_nothing(server: Server) -> None:
    async def leave() -> None:
        await gone([asyncio.create_task(Names().look_up("a.hangs", 1)) for _ in range(1)])

    asyncio.run(leave())
    server.free.set()


@pytest.mark.parametrize("host", ["fe80::1%nothing", "fe80::1%"])
async def test_a_zone_that_is_not_there(server: Server, host: str) -> None:
    if host.endswith("%"):
        assert await Names().look_up(host, 1) == FOUND  # no address: a name, which the system refuses
    else:
        with pytest.raises(OSError, match="no interface"):
            await Names().look_up(host, 1)
