"""The service manager that started the command, such as systemd: told when the worker is ready, what it does, and when it ends.

It names a datagram socket in NOTIFY_SOCKET, and reads lines `NAME=value` there (sd_notify(3)). With WATCHDOG_USEC it restarts a
command that gives no sign of life for so long (sd_watchdog_enabled(3)).
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from connect.events import Draining, Event, Reconnecting, StateChanged
from connect.log_format import described
from connect.loops import forks
from connect.loops.timers import Ticker
from connect.redaction import logger, peer_text
from connect.state import ConnectionState
from connect.watching.http import readiness
from connect.worker import WorkerConnection

if TYPE_CHECKING:
    from connect.status import Status

log = logger("connect")

_VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class ServiceManager:
    """What it is told goes out without waiting, and in order. A socket that cannot be reached is one warning, and no more.

    *address*: a path, or `@NAME` for an abstract socket; "": there is no service manager, and nothing is told. *watchdog*: the
    seconds without a sign of life after which it restarts the command; None: never. Used on one loop.
    """

    def __init__(self, address: str = "", watchdog: float | None = None) -> None:
        self._address = address
        self._watchdog = watchdog
        self._socket: socket.socket | None = None
        self._told: dict[str, str] = {}
        self._untold: dict[str, str] = {}
        self._has_warned = False

    @classmethod
    def of_environment(cls) -> "ServiceManager":
        """The one that the environment names; its variables are taken out of `os.environ`.

        Otherwise a program that a function starts could say READY, or that the worker stops, in the worker's name.
        """
        address, microseconds, pid = (os.environ.pop(name, "") for name in _VARIABLES)
        is_ours = pid in ("", str(os.getpid()))
        return cls(address, _seconds(microseconds) if is_ours else None)

    @contextlib.contextmanager
    def watches(self) -> Iterator[None]:
        """Give signs of life on the running loop, twice in the time of the watchdog, until the block ends."""
        ticker = Ticker(self._watchdog / 2, self._give_sign) if self._address and self._watchdog else None
        try:
            yield
        finally:
            if ticker:
                ticker.cancel()
            self._close()

    @contextlib.contextmanager
    def follows(self, worker: WorkerConnection) -> Iterator[None]:
        """As `watches`, and tell of each change of *worker*. On the connection's loop, from before the first dial to its end."""
        failure: Exception | None = None

        def look(_: Event | None = None) -> None:
            status = worker.status()
            words = {"STATUS": peer_text(f"{status.state}: {_words(status, failure)}")}
            if status.is_closing or failure:
                self.tell(STOPPING="1", **words)
            elif status.is_ready:
                self.tell(READY="1", **words)
            else:
                self.tell(**words)

        removers = [worker.on(kind, look) for kind in (StateChanged, Draining, Reconnecting)]
        with self.watches():
            try:
                look()
                yield
            except Exception as error:
                failure = error
                raise
            finally:
                look()
                for remove in removers:
                    remove()

    def tell(self, **variables: str) -> None:
        """Tell it what *variables* are now, each on one line, unless it knows. Does not wait, and raises nothing."""
        news = {name: value for name, value in variables.items() if self._told.get(name) != value}
        if news and self._address:
            self._told |= news
            self._send(news)

    def _give_sign(self) -> None:
        self._send({"WATCHDOG": "1"})

    def _send(self, news: dict[str, str]) -> None:
        self._untold |= news
        self._send_untold()

    def _send_untold(self) -> None:
        """Send what it does not know yet. If its queue is full, that happens once there is room."""
        message = "\n".join(f"{name}={value}" for name, value in self._untold.items())
        try:
            self._connected().send(message.encode(errors="backslashreplace"))
        except BlockingIOError:
            asyncio.get_running_loop().add_writer(self._connected(), self._send_untold)
        except OSError as error:  # the next change tries again
            self._warn(error)
            self._close()
        else:
            self._untold = {}
            asyncio.get_running_loop().remove_writer(self._connected())

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket = forks.private(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            self._socket.setblocking(False)
            self._socket.connect(_bytes(self._address))
        return self._socket

    def _warn(self, error: OSError) -> None:
        if not self._has_warned:
            self._has_warned = True
            why = error.strerror or str(error)
            log.warning("the service manager hears nothing of this worker: NOTIFY_SOCKET is %s: %s", self._address, why)

    def _close(self) -> None:
        if self._socket:
            asyncio.get_running_loop().remove_writer(self._socket)
            self._socket.close()
            self._socket = None


def _bytes(address: str) -> bytes:
    """What the kernel calls *address*: the name of an abstract socket begins with NUL there."""
    return b"\0" + os.fsencode(address[1:]) if address.startswith("@") else os.fsencode(address)


def _seconds(microseconds: str) -> float | None:
    """None: it is no number of 64 bits, or 0, which means never."""
    return int(microseconds) / 1e6 or None if microseconds.isdecimal() and len(microseconds) <= 20 else None


def _words(status: "Status", failure: Exception | None) -> str:
    """What the worker does, in words: for `systemctl status`."""
    is_draining = status.state is ConnectionState.DRAINING
    if failure:
        return described(failure)
    if status.is_ready:
        return "takes work, and makes a new link, since the gateway leaves" if is_draining else "takes work"
    if status.state is ConnectionState.CLOSED:
        return "ended"
    if is_draining:
        return f"shutting down, executions in flight: {len(status.in_flight)}"
    known = readiness(status)
    return f"{known['reason']}: {known['last_error']}" if known["last_error"] else str(known["reason"])
