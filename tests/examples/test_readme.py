"""Every Python block of the README runs as it stands, and prints what the README shows."""

import json
import re
import textwrap
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from connect.gateway import Gateway, in_thread

README = Path(__file__).parents[2] / "README.md"


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", README.read_text(), re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for _, block in found]


@pytest.fixture
def written(tmp_path: Path) -> None:
    """Write the blocks as files. A new block is named here, and run by a test below."""
    names = ("hello.py", "watch.py", "test_greet.py")
    for name, block in zip(names, blocks("python"), strict=True):
        (tmp_path / name).write_text(block)


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("arguments", [("hello.py",), ("-m", "connect", "run", "hello:apps")])
def test_the_ten_lines_run_and_an_event_is_greeted(start_process: Any, arguments: tuple[str, ...]) -> None:
    gateway = start_process("-m", "connect", "gateway", "--port", "0")
    url = re.findall(r"http://127\.0\.0\.1:\d+", gateway.expect("gateway at"))[0]
    worker = start_process(*arguments, INNGEST_DEV=url)
    worker.expect(" starts: inngest ")
    worker.expect("CONNECTING → ACTIVE (link_ready) 01")
    [curl] = re.findall(r"curl (\S+) -d '(.*)'", README.read_text())
    address = curl[0].replace("http://127.0.0.1:8288", url)
    gateway.expect("takes work")
    urllib.request.urlopen(address, json.dumps(json.loads(curl[1])).encode(), timeout=10).close()  # noqa: S310
    [shown] = re.findall(r"the gateway shows `(.*?)`", README.read_text())
    assert gateway.expect("←").endswith(f"{shown}\n")
    worker.signal()
    assert worker.ends() == 0


@pytest.mark.usefixtures("written")
def test_what_listens_to_the_worker_prints_its_states(start_process: Any) -> None:
    with in_thread(Gateway()) as gateway:
        worker = start_process("watch.py", INNGEST_DEV=gateway.url)
        worker.expect("CONNECTING → ACTIVE link_ready")
        worker.signal()
        worker.expect("DRAINING → CLOSED idle")
        assert worker.ends() == 0


@pytest.mark.usefixtures("written")
def test_the_test_passes(start_process: Any) -> None:
    tests = start_process("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_greet.py", INNGEST_DEV="1")
    assert tests.ends() == 0, tests.text
    assert "1 passed" in tests.text
