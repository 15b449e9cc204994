"""What a fork is without, and how it ends."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from fork_kit import PATIENCE, end_of, exit_code, killed

from connect.loops import forks, loop


def is_null(descriptor: int) -> bool:
    null = os.stat(os.devnull)
    return os.fstat(descriptor).st_rdev == null.st_rdev and not os.get_inheritable(descriptor)


def test_a_private_socket_is_closed_in_a_fork_and_nowhere_else() -> None:
    ours, theirs = socket.socketpair()
    with forks.private(ours), theirs:
        assert end_of(lambda: is_null(ours.fileno()) and not is_null(theirs.fileno())) == 1
        ours.send(b"x")
        assert theirs.recv(1) == b"x"


def test_the_peer_sees_the_end_although_a_fork_lives() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        forks.private(ours)
        pid = os.fork()
        if not pid:
            time.sleep(3600)
        try:
            ours.close()
            theirs.settimeout(PATIENCE)
            assert theirs.recv(1) == b""
        finally:
            killed(pid)


def test_a_number_that_a_closed_socket_had_is_left_alone(tmp_path: Path) -> None:
    ours, theirs = map(forks.private, socket.socketpair())
    number = ours.fileno()
    ours.close()
    with open(tmp_path / "file", "w") as file, theirs:
        assert file.fileno() == number
        assert end_of(lambda: is_null(number)) == 0


def test_what_an_owner_has_is_asked_at_the_fork() -> None:
    class Owner:
        descriptors: Iterable[int] = ()

    owner, [ours, theirs] = Owner(), socket.socketpair()
    with ours, theirs:
        forks.close_in_children(owner, lambda owner: owner.descriptors)
        owner.descriptors = [ours.fileno(), -1]
        assert end_of(lambda: is_null(ours.fileno())) == 1
        del owner
        assert end_of(lambda: is_null(ours.fileno())) == 0


def test_a_socket_is_made_for_an_address() -> None:
    with forks.private_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1))) as made:
        assert (made.family, made.type, made.proto) == (socket.AF_INET, socket.SOCK_STREAM, 6)
        assert end_of(lambda: is_null(made.fileno())) == 1


def fail(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    ("leave", "code", "says"),
    [
        (lambda: None, 0, ""),
        (lambda: sys.exit(), 0, ""),
        (lambda: sys.exit(3), 3, ""),
        (lambda: sys.exit(-1), 255, ""),
        (lambda: sys.exit("over and out"), 1, "over and out"),
        (lambda: 1 / 0, 1, "ZeroDivisionError: division by zero"),
        (lambda: fail(asyncio.CancelledError()), 1, "CancelledError"),
        (lambda: fail(KeyboardInterrupt()), -signal.SIGINT, "KeyboardInterrupt"),
    ],
)
def test_a_fork_ends_at_the_boundary_as_python_would_end_it(
    leave: Callable[[], object], code: int, says: str, capfd: pytest.CaptureFixture[str]
) -> None:
    def child() -> None:
        boundary._parent = 0
        with boundary:
            print("of the fork", end="")  # noqa: T201
            leave()

    boundary = forks.Boundary()
    assert end_of(child) == code
    said = capfd.readouterr()
    assert said.out == "of the fork"
    assert says in said.err


def test_an_error_that_was_caught_inside_decides_the_exit_code() -> None:
    def child() -> None:
        with forks.Boundary() as boundary:
            pid = os.fork()
            if pid:
                os._exit(exit_code(pid))
            boundary.error = ValueError("caught")

    assert end_of(child) == 1


def test_the_process_itself_passes_the_boundary() -> None:
    with forks.Boundary() as boundary:
        assert not boundary.in_child
    with pytest.raises(ZeroDivisionError), forks.Boundary():
        raise ZeroDivisionError


def test_a_fork_that_stops_the_loop_ends() -> None:
    """It must not run the worker on."""
    told: list[Any] = []

    async def main() -> int:
        pid = os.fork()
        if not pid:
            made.call_soon(sys.exit, 7)  # there is no running loop in a fork, but it runs
            await made.create_future()
        return await asyncio.to_thread(exit_code, pid)

    made = asyncio.new_event_loop()
    assert loop.run_until_done(made, main(), told.append) == 7
    made.run_until_complete(made.shutdown_default_executor())
    made.close()
    assert told == []
