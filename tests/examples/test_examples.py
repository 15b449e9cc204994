"""Every file of `examples/` runs with the command in its first line."""

import re
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connect.gateway import Gateway, ThreadedGateway, in_thread

EXAMPLES = Path(__file__).parents[2] / "examples"
LINES = 40


@pytest.fixture
def gateway() -> Iterator[ThreadedGateway]:
    with in_thread(Gateway()) as threaded:
        yield threaded


@pytest.fixture
def example(gateway: ThreadedGateway, start_process: Any) -> Any:
    """Start an example, and wait until its worker takes work."""

    def begin(*arguments: str) -> Any:
        process = start_process(*arguments, cwd=EXAMPLES, INNGEST_DEV=gateway.url)
        gateway.wait_for_worker(timeout=30)
        return process

    return begin


@pytest.mark.parametrize(
    ("module", "slug", "data", "output"),
    [
        ("hello", "hello-greet", {"name": "ada"}, "Hello, Ada!"),
        ("sync_function", "sync-crunch", {"numbers": [1, 2, 3]}, 6),
    ],
)
def test_modules_for_the_command(
    gateway: ThreadedGateway, example: Any, module: str, slug: str, data: Any, output: Any
) -> None:
    worker = example("-m", "connect", "run", f"{module}:apps")
    run = gateway.invoke(slug, data)
    assert (run.status, run.output) == ("completed", output)
    worker.signal()
    assert worker.ends() == 0


def test_several_apps(gateway: ThreadedGateway, example: Any) -> None:
    worker = example("several_apps.py")
    assert gateway.invoke("sales-invoice", {"order": 7}).output == "invoice for 7"
    assert gateway.invoke("support-thank", {"order": 7}).output == "thanks for 7"
    assert len(gateway.call(lambda gw: gw.connections)) == 1
    worker.signal()
    assert worker.ends() == 0


def test_status_probe(gateway: ThreadedGateway, example: Any) -> None:
    worker = example("status_probe.py", "0")
    port = re.findall(r"\d+", worker.expect("probes on port"))[0]
    worker.expect("ACTIVE")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=10) as answer:
        assert answer.status == 200
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/status", timeout=10) as answer:
        assert b'"state": "ACTIVE"' in answer.read()
    worker.signal()
    worker.expect("CLOSED")
    assert worker.ends() == 0


def test_web_app(gateway: ThreadedGateway, example: Any) -> None:
    app = example("-m", "uvicorn", "web_app:app", "--port", "0")
    port = re.findall(r"127\.0\.0\.1:(\d+)", app.expect("Uvicorn running on"))[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=10) as answer:
        assert answer.status == 200
    assert gateway.invoke("hello-greet", {"name": "ada"}).output == "Hello, Ada!"
    app.signal()
    assert app.ends() == -signal.SIGTERM, "uvicorn ends by the signal that it got"


def test_ones_own_tests(start_process: Any) -> None:
    tests = start_process(
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "test_hello.py",
        "test_command.py",
        cwd=EXAMPLES,
        INNGEST_DEV="1",
    )
    assert tests.ends() == 0, tests.text
    assert "3 passed" in tests.text


def test_each_is_small_and_tested_here() -> None:
    here = Path(__file__).read_text()
    for path in EXAMPLES.glob("*.py"):
        assert path.stem in here, f"{path.name} has no test"
        assert len(path.read_text().splitlines()) <= LINES, f"{path.name} is no small example"
