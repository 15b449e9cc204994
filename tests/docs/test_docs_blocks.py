"""Every Python block and every `python -m connect` line of the documentation runs, and prints what the page shows.

A Python block is a file: its first line says which. Those of a page lie together in a folder. The README's blocks have a test of
their own (tests/examples/test_readme.py); its commands are here.
"""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from connect.gateway import Gateway, ThreadedGateway, in_thread
from tests.docs.pages import DOCS, PAGES, README, Block, Command, blocks, commands, files, masked, session

BLOCKS = [block for page in PAGES for block in blocks(page, "python")]
PROGRAMS = [block for block in BLOCKS if block.file.startswith("test_") or "__main__" in block.text]
"""Those that run by themselves; the others are run by them, or by a command."""
LINES = [command for page in (README, *PAGES) for command in commands(page) if "python -m connect" in command.text]
COMMANDS = {repr(line.words): line for line in LINES if line not in session()}.values()
"""Each is run once, however often it is named."""
SERVERS = {"gateway": "gateway at", "lab": "the lab is at"}
"""What does not end by itself, and the first line to wait for."""


@pytest.fixture
def gateway() -> Iterator[ThreadedGateway]:
    with in_thread(Gateway()) as threaded:
        yield threaded


def write(page: str, folder: Path) -> None:
    """Write the files of *page* into a folder; `hello.py` is the quick start's if the page has none of its own."""
    own = {"hello.py": blocks(README, "python")[0].text} if page == README.name else files(DOCS / page)
    for name, text in {"hello.py": files(DOCS / "quickstart.md")["hello.py"], **own}.items():
        (folder / name).write_text(text)


@pytest.mark.parametrize("block", PROGRAMS, ids=str)
def test_programs_and_tests_run(block: Block, tmp_path: Path, start_process: Any, gateway: ThreadedGateway) -> None:
    write(block.page, tmp_path)
    if block.file.startswith("test_"):
        process = start_process("-m", "pytest", "-q", "-p", "no:cacheprovider", block.file, INNGEST_DEV="1")
        assert process.ends() == 0, process.text
        assert " passed" in process.text
    else:
        process = start_process(block.file, INNGEST_DEV=gateway.url)
        gateway.wait_for_worker(timeout=30)
        process.signal()
        assert process.ends() == 0, process.text


@pytest.mark.parametrize("block", [block for block in BLOCKS if block not in PROGRAMS], ids=str)
def test_modules_are_run_by_something(block: Block) -> None:
    """pytest runs `conftest.py` by itself."""
    assert block.file, "the first line of a Python block is the name of its file: # name.py"
    name = block.file.removesuffix(".py")
    programs = [other.text for other in PROGRAMS if other.page == block.page]
    by_import = any(f"from {name} import" in text for text in programs)
    by_command = any(f" {name}:" in line.text for line in LINES if line.page == block.page)
    assert by_import or by_command or name == "conftest"


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_commands_run(command: Command, tmp_path: Path, start_process: Any, gateway: ThreadedGateway) -> None:
    write(command.page, tmp_path)
    given, words = command.words
    assert words[:3] == ["python", "-m", "connect"], "a line names the command first"
    name, *arguments = words[3:]
    arguments, env = on_free_ports(name, arguments), environment(given, gateway.url)
    process = start_process("-m", "connect", name, *arguments, **env)
    if name == "run":
        gateway.wait_for_worker(timeout=30)
        process.signal(signal.SIGINT if "--reload" in arguments else signal.SIGTERM)
    elif name in SERVERS:
        process.expect(SERVERS[name])
        process.signal(signal.SIGINT)
    assert process.ends() == 0, process.text
    said = [masked(line) for line in process.text.splitlines()]
    assert [line for line in command.shown if masked(line) not in (*said, "…")] == [], process.text


def on_free_ports(name: str, arguments: list[str]) -> list[str]:
    if name in ("gateway", "lab"):
        return [*arguments, "--port", "0"]  # the last one counts
    return [word.replace("127.0.0.1:9090", "127.0.0.1:0") for word in arguments]


def environment(given: dict[str, str], url: str) -> dict[str, str]:
    """The variables that a command sets, changed so that they lead to the test's gateway and hold a whole key."""
    env = {name: text.replace("…", "deadbeef") for name, text in given.items()}
    if any(name.startswith("INNGEST_SIGNING_KEY") for name in env):
        return {**env, "INNGEST_API_BASE_URL": url}
    return {**env, "INNGEST_DEV": url}
