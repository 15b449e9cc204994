"""Looks names up, on threads of its own.

asyncio and uvloop look names up in pools that user code can fill: the default executor has the functions of `asyncio.to_thread`,
and uvloop's four threads have the look-ups of user code. The system's look-up cannot be cancelled, and may hang for a minute when
no name server answers, or for ever. So it runs on daemon threads, which do not delay the end of the process, and of which there
are few.
"""

import asyncio
import contextlib
import ipaddress
import socket
import threading
from dataclasses import dataclass, field
from typing import Any, Final

THREADS: Final = 8
"""Look-ups that run at once in this process, those included that hang."""
FOR_ONE_NAME: Final = 3
AGAIN_SECONDS: Final = 5.0
"""If a look-up hangs so long, who asks for that name starts another beside it; the first answer counts."""
KEPT_SECONDS: Final = 3.0
"""How long an answer is used again: replies that are flushed one by one would ask for the same name each time."""

Found = list[tuple[int, int, int, str, Any]]
"""What `socket.getaddrinfo` returns."""

_FREE: Final = threading.BoundedSemaphore(THREADS)


@dataclass
class _Question:
    """A name that is looked up: its answer, how many threads look, and when the last one began."""

    answer: "asyncio.Future[Found]"
    threads: int = 0
    since: float = field(default=float("-inf"))


class Names:
    """The look-ups of one worker. On one loop only."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._asked: dict[tuple[str, int], _Question] = {}
        self._kept: dict[tuple[str, int], tuple[float, Found]] = {}

    async def look_up(self, host: str, port: int) -> Found:
        """All addresses of *host*, the most suitable first, as `socket.getaddrinfo` returns them. Cancelling it is safe.

        Raises: OSError: there is no such name, or no answer; UnicodeError: *host* is no name.
        """
        if number := _number(host, port):
            return number
        now = self._loop.time()
        self._kept = {key: kept for key, kept in self._kept.items() if kept[0] > now}
        key = host, port
        if key in self._kept:
            return self._kept[key][1]
        question = self._asked.get(key) or _Question(self._loop.create_future())
        if question.threads < FOR_ONE_NAME and now - question.since >= AGAIN_SECONDS:
            self._start(key, question)
        return await asyncio.shield(question.answer)

    def _start(self, key: tuple[str, int], question: _Question) -> None:
        """Start a thread for *question*. If none is free, a question that nothing looks up fails; another goes on waiting."""
        if not _FREE.acquire(blocking=False):
            if question.threads:
                return
            raise OSError(socket.EAI_AGAIN, f"{THREADS} earlier look-ups still hang")
        thread = threading.Thread(target=self._look, args=(key,), name="connect-names", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            _FREE.release()
            raise OSError(socket.EAI_AGAIN, str(error)) from None
        self._asked[key] = question
        question.threads += 1
        question.since = self._loop.time()

    def _look(self, key: tuple[str, int]) -> None:
        found: Found | Exception
        try:
            found = list(socket.getaddrinfo(*key, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG))
        except Exception as error:
            found = error
        finally:
            _FREE.release()
        with contextlib.suppress(RuntimeError):  # the loop is closed by now
            self._loop.call_soon_threadsafe(self._answer, key, found)

    def _answer(self, key: tuple[str, int], found: Found | Exception) -> None:
        if isinstance(found, list):
            self._kept[key] = self._loop.time() + KEPT_SECONDS, found
        question = self._asked.pop(key, None)
        if question is None or question.answer.done():
            return
        if isinstance(found, list):
            question.answer.set_result(found)
        else:
            question.answer.set_exception(found)
            question.answer.exception()  # seen: all that wait for it may have been cancelled


def _number(host: str, port: int) -> Found:
    """*host* itself, if it is an address, with a zone or without; []: it is a name. Raises: OSError: there is no such zone."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return []
    kind = socket.SOCK_STREAM, socket.IPPROTO_TCP, ""
    if address.version == 4:
        return [(socket.AF_INET, *kind, (host, port))]
    plain, _, zone = host.partition("%")
    scope = 0 if not zone else int(zone) if zone.isdecimal() else socket.if_nametoindex(zone)
    return [(socket.AF_INET6, *kind, (plain, port, 0, scope))]
