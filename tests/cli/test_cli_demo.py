"""`python -m connect demo` tells its story in plain lines and on a terminal; its exit code is its verdict."""

import contextlib
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
from typing import Any

import pytest
from group_kit import end_group
from typer.testing import CliRunner

from connect.cli.commands import assembled

ALTERNATE_SCREEN, USUAL_SCREEN = "\x1b[?1049h", "\x1b[?1049l"


def row(text: str, name: str) -> list[str]:
    """The cells of the final table's row *name*."""
    [line] = [line for line in text.splitlines() if line.startswith(f"│ {name} ")]
    return [cell.strip() for cell in line.strip("│").split("│")]


def test_plain_lines_tell_the_story_and_nothing_is_lost(start_process: Any) -> None:
    demo = start_process("-m", "connect", "demo")
    for happening in (
        "CONNECTING → ACTIVE",
        "the gateway drains",
        "ACTIVE → DRAINING        gateway_closing",
        "DRAINING → ACTIVE",
        "the socket is cut",
        "ACTIVE → RECONNECTING",
        "RECONNECTING → ACTIVE",
        "socket and API cut",
        "attempt 1: HTTP 503",
        "ACTIVE → DRAINING        shutdown",
        "DRAINING → CLOSED",
        "What happened in",
    ):
        demo.expect(happening)
    assert demo.ends() == 0
    assert row(demo.text, "lost")[1] == "0"
    assert row(demo.text, "runs")[1:] == ["70", "70 completed"]
    assert row(demo.text, "work done twice")[1] == "0"
    assert row(demo.text, "drains")[1] == "1"
    assert row(demo.text, "drops")[1] == "2"
    assert "\x1b" not in demo.text
    assert "Traceback" not in demo.text


def on_a_terminal(*arguments: str, columns: int, lines: int) -> tuple[int, str]:
    """Run the demo on a pseudo-terminal of this size; its exit code and its whole output."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    env = {name: text for name, text in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    env["TERM"] = "xterm"
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True
    )
    os.close(theirs)
    read = bytearray()
    try:
        with contextlib.suppress(OSError):  # what Linux says once the other end is closed
            while chunk := os.read(ours, 65_536):
                read += chunk
        return process.wait(10), read.decode()
    finally:
        os.close(ours)
        end_group(process.pid)
        process.wait()


def test_a_terminal_shows_it_live_and_is_left_clean() -> None:
    code, text = on_a_terminal("-m", "connect", "demo", columns=80, lines=24)
    assert code == 0
    assert (text.count(ALTERNATE_SCREEN), text.count(USUAL_SCREEN)) == (1, 1)
    live, _, after = text.partition(USUAL_SCREEN)
    assert live.count("timeline") > 50, "frames"
    assert "\x1b[?25h" in text, "the cursor is shown again"
    assert "What happened in" not in live
    assert "Nothing was lost" in after
    assert "RECONNECTING → ACTIVE" not in after, "the timeline was there to be seen"


def test_ctrl_c_ends_it_with_an_account_of_what_was_seen(start_process: Any) -> None:
    demo = start_process("-m", "connect", "demo")
    demo.expect("events come in")
    demo.signal(signal.SIGINT)
    demo.expect("DRAINING → CLOSED")
    assert demo.ends() == 130
    assert row(demo.text, "lost")[1] == "0"
    assert "Interrupted. Nothing was lost until then." in demo.text
    assert "Traceback" not in demo.text


@pytest.mark.parametrize("code", [0, 1, 130])
def test_the_verdict_is_the_exit_code(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    class Verdict:
        exit_code = code

    async def perform(_: object) -> Verdict:
        return Verdict()

    monkeypatch.setattr("connect.cli.demo._perform", perform)
    assert CliRunner().invoke(assembled(["demo"]), ["demo"]).exit_code == code
