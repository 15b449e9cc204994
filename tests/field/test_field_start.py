"""The start of the command: a signal at any moment ends it, with the right exit code and within a second."""

import contextlib
import functools
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from group_kit import end_group

from connect.gateway import Gateway, ThreadedGateway, in_thread

SHOP = """
import inngest
client = inngest.Inngest(app_id="shop", is_production=False)
@client.create_function(fn_id="greet", trigger=inngest.TriggerEvent(event="shop/greet"))
async def greet(ctx): return "hello"
apps = [(client, [greet])]
"""
HEAVY = """
import hashlib, threading, time

def busy(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end: pass

print("importing", flush=True)
for hold in (
    lambda: time.sleep(0.2), lambda: busy(0.1), lambda: hashlib.pbkdf2_hmac("sha256", b"", b"", 300_000),
    lambda: threading.Event().wait(0.2), lambda: sum(range(10**6)), lambda: threading.Thread(target=busy, args=[0.1]).start(),
):
    try: hold()
    except BaseException: pass
"""
NOWHERE = "http://127.0.0.1:9"
WITHIN = 4.0
"""Seconds: on an idle machine it takes a tenth, and the bound is one; other tests load this machine."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc for what the process handles")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "plain.py").write_text(SHOP)
    (tmp_path / "shop.py").write_text(HEAVY + SHOP)
    return tmp_path


@pytest.fixture
def gateway() -> Iterator[ThreadedGateway]:
    with in_thread(Gateway()) as threaded:
        yield threaded


def handles(command: Any, number: signal.Signals) -> bool:
    with contextlib.suppress(FileNotFoundError):
        for line in Path(f"/proc/{command._process.pid}/status").read_text().splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def begun(start_process: Any, *words: str, **env: str) -> Any:
    """The command, from the moment on at which it has a handler for SIGTERM."""
    command = start_process("-m", "connect", *words, INNGEST_DEV=NOWHERE, **env)
    wait_until(lambda: handles(command, signal.SIGTERM))
    return command


def ends_in_time(command: Any) -> int:
    sent = time.monotonic()
    code: int = command.ends()
    assert time.monotonic() - sent < WITHIN
    assert "Traceback" not in command.text
    return code


def test_sigterm_at_any_moment_of_the_start_ends_it_with_0(shop: Path, start_process: Any) -> None:
    """With an import that sleeps, computes, waits for locks, is in C code, and swallows every exception."""
    rng = random.Random(13)
    for _ in range(2):
        commands = [start_process("-m", "connect", "run", "shop:apps", INNGEST_DEV=NOWHERE) for _ in range(12)]
        began = time.monotonic()
        for command, moment in zip(commands, sorted(rng.uniform(0.0, 2.5) for _ in commands), strict=True):
            wait_until(functools.partial(handles, command, signal.SIGTERM))
            time.sleep(max(0.0, began + moment - time.monotonic()))
            command.signal()
        for command in commands:
            assert ends_in_time(command) == 0
            assert command.lines[-1].endswith(("stopped by SIGTERM before it was connected\n", "stopped gracefully\n"))


@pytest.mark.parametrize(
    ("command", "number", "code"),
    [
        ("run", signal.SIGTERM, 0),
        ("run", signal.SIGHUP, 0),
        ("run", signal.SIGINT, 130),
        ("gateway", signal.SIGTERM, 0),
        ("lab", signal.SIGTERM, 0),
        ("doctor", signal.SIGTERM, 143),
        ("demo", signal.SIGINT, 130),
    ],
)
def test_each_command_takes_signals_from_its_first_statement(
    start_process: Any, command: str, number: signal.Signals, code: int
) -> None:
    """What runs until it is told to stop has not failed. What was to give a verdict has given none."""
    started = begun(start_process, command)
    started.signal(number)
    assert ends_in_time(started) == code
    assert started.text.startswith(f"python -m connect: stopped by {number.name} before it ")
    assert len(started.lines) == 1


def test_a_signal_that_is_ignored_stays_ignored(shop: Path, start_process: Any) -> None:
    """As `nohup` wants it."""
    code = (
        "import runpy, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); sys.argv[1:] = ['run', 'shop:apps']"
    )
    command = start_process("-c", f"{code}; runpy.run_module('connect', run_name='__main__')", INNGEST_DEV=NOWHERE)
    command.expect("importing")
    command.signal(signal.SIGHUP)
    command.expect("starts: inngest")
    command.signal()
    assert ends_in_time(command) == 0


BETWEEN = """
import os, signal
from connect import worker
start = worker.WorkerConnection.start
def signalled(self):
    os.kill(os.getpid(), signal.SIGTERM)
    return start(self)
worker.WorkerConnection.start = signalled
"""


def test_a_signal_between_two_handlers_is_not_lost(gateway: ThreadedGateway, shop: Path, start_process: Any) -> None:
    """It comes when the start has handed over, and the worker has not yet installed its own."""
    (shop / "between.py").write_text(BETWEEN + SHOP)
    command = start_process("-m", "connect", "run", "between:apps", INNGEST_DEV=gateway.url)
    command.expect("stopped gracefully")
    assert ends_in_time(command) == 0
    assert not gateway.call(lambda gw: gw.calls())


FORKS = """
import os, signal
if os.fork() == 0:
    print("fork:", signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, signal.set_wakeup_fd(-1), flush=True)
    os._exit(0)
os.wait()
"""


def test_a_fork_during_the_import_has_the_handlers_of_before(shop: Path, start_process: Any) -> None:
    (shop / "forks.py").write_text(FORKS + SHOP)
    command = start_process("-m", "connect", "run", "forks:apps", INNGEST_DEV=NOWHERE)
    assert command.expect("fork: ") == "fork: True -1\n"


OWN = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("mine", flush=True))
print("ready", flush=True)
time.sleep(0.3)
print("imported", flush=True)
"""


def test_a_handler_that_the_users_module_installs_counts(shop: Path, start_process: Any) -> None:
    (shop / "own.py").write_text(OWN + SHOP)
    command = start_process("-m", "connect", "run", "own:apps", INNGEST_DEV=NOWHERE)
    command.expect("ready")
    command.signal()
    command.expect("mine")
    command.expect("imported")


IN_PROCESSES = """
import sys
from connect.execution import process_setup
while "connect.execution.child" in sys.modules or process_setup.in_pool_process:
    try:
        print("a process imports", flush=True)
        __import__("time").sleep(60)
    except BaseException: pass
"""


def test_processes_that_still_import_do_not_hold_up_the_end(
    gateway: ThreadedGateway, shop: Path, start_process: Any
) -> None:
    (shop / "pool.py").write_text(IN_PROCESSES + SHOP)
    words = ("-m", "connect", "run", "pool:apps", "--isolation", "process", "--processes", "2")
    command = start_process(*words, INNGEST_DEV=gateway.url)
    command.expect("a process imports")
    command.signal()
    assert ends_in_time(command) == 0


def test_as_the_first_process_of_a_container_it_takes_sigterm(shop: Path) -> None:
    """For process 1 the kernel drops a signal without a handler: the worker would go on, and take work."""
    own = ["unshare", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*own, "true"], capture_output=True, check=False).returncode:  # noqa: S603
        pytest.skip("no right to make a namespace of processes")
    command = subprocess.Popen(  # noqa: S603
        [*own, sys.executable, "-m", "connect", "run", "shop:apps"],
        cwd=shop, env={**os.environ, "INNGEST_DEV": NOWHERE}, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert command.stdout
        assert command.stdout.readline() == "importing\n"
        [first] = Path(f"/proc/{command.pid}/task/{command.pid}/children").read_text().split()
        os.kill(int(first), signal.SIGTERM)
        assert command.wait(WITHIN) == 0
    finally:
        end_group(command.pid)
        command.communicate()
