"""`python -m connect doctor` serves people, pipes and programs."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from connect.doctor import CHECKS, Finding, Mark
from connect.doctor.report import Lines, Report, Screen, Verdict
from connect.gateway import Gateway, Kind, ThreadedGateway, in_thread
from tests.doctor.conftest import KEY

MODULE = """
import inngest

client = inngest.Inngest(app_id="app")
print("the module's own words")


@client.create_function(fn_id="echo", trigger=inngest.TriggerEvent(event="echo"))
async def echo(ctx): ...


apps = [(client, [echo])]
"""
FINDINGS = [
    Finding("SDK", Mark.GOOD, "inngest 0.5.19"),
    Finding("API port", Mark.WRONG, "127.0.0.1:1 refuses: nothing listens there", "start the server"),
    Finding("API TLS", Mark.SKIPPED, "not checked, because of: API port", because="API port"),
    Finding("API answers", Mark.SKIPPED, "not checked, because of: API port", because="API port"),
]


@pytest.fixture
def server() -> Iterator[ThreadedGateway]:
    with in_thread(Gateway()) as threaded:
        yield threaded


@pytest.fixture
def doctor(server: ThreadedGateway, tmp_path: Path, start_process: Any) -> Any:
    """Run the command against the gateway, in a folder with a module `main`."""
    (tmp_path / "main.py").write_text(MODULE)

    def begin(*arguments: str, **env: str) -> Any:
        return start_process("-m", "connect", "doctor", *arguments, **{"INNGEST_DEV": server.url, **env})

    return begin


def test_all_well_is_0_and_a_line_for_each_check(server: ThreadedGateway, doctor: Any) -> None:
    process = doctor("main:apps", "--register")
    assert process.ends() == 0, process.text
    lines = process.text.splitlines()
    assert [line for line in lines if line[2:].startswith(tuple(f"{check.name}:" for check in CHECKS))] == lines[1:-1]
    assert len(lines) == len(CHECKS) + 2, "the first is the module's own"
    assert lines[-1] == "All well: a worker can connect, and the functions are synced."
    assert server.call(lambda gw: [len(gw.frames(kind)) for kind in (Kind.WORKER_CONNECT, Kind.WORKER_READY)]) == [1, 0]


def test_something_wrong_is_1_and_says_what_to_do(server: ThreadedGateway, doctor: Any) -> None:
    server.call(lambda gw: gw.starts.push(500))
    process = doctor()
    assert process.ends() == 1
    lines = process.text.splitlines()
    at = next(at for at, line in enumerate(lines) if line.startswith("✗ signing key: the API failed: "))
    assert lines[at + 1].startswith("  → wait")
    assert lines[-1] == "A worker cannot connect: see signing key."


def test_json_is_one_object_without_a_secret(server: ThreadedGateway, doctor: Any) -> None:
    server.call(lambda gw: setattr(gw, "signing_keys", ("00" * 32,)))
    process = doctor("main:apps", "--json", INNGEST_DEV="", INNGEST_API_BASE_URL=server.url, INNGEST_SIGNING_KEY=KEY)
    assert process.ends() == 1
    said = json.loads(process.text.partition("\n")[2])
    assert (said["ok"], said["connects"]) == (False, False)
    assert [check["check"] for check in said["checks"]] == [check.name for check in CHECKS]
    assert [check["check"] for check in said["checks"] if check["result"] == "wrong"] == ["signing key"]
    assert KEY.removeprefix("signkey-test-") not in process.text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--register",), "name MODULE:APPS too"),
        (("--timeout", "0"), "--timeout is 0"),
        (("nowhere:apps",), "no module 'nowhere'"),
        (("broken:apps",), "ValueError: *** is bad"),
        (("--env-file", "none"), "--env-file: cannot read none"),
        (("--what",), "No such option"),
    ],
)
def test_misuse_is_one_line_and_2(tmp_path: Path, doctor: Any, arguments: tuple[str, ...], said: str) -> None:
    (tmp_path / "broken.py").write_text(f"raise ValueError('{KEY} is bad')")
    process = doctor(*arguments, INNGEST_SIGNING_KEY=KEY)
    assert process.ends() == 2
    assert len(process.text.splitlines()) == 1
    assert said in process.text
    assert KEY not in process.text


def test_it_takes_what_run_takes_from_pyproject(tmp_path: Path, doctor: Any, server: ThreadedGateway) -> None:
    (tmp_path / "pyproject.toml").write_text(f'[tool.connect]\napi-base-url = "{server.url}"\nmax-concurrency = 3\n')
    process = doctor(INNGEST_DEV="1")
    assert process.ends() == 0, process.text
    assert f"API at {server.url} (--api-base-url)" in process.text


def test_it_does_not_hang_where_a_server_does(doctor: Any, server: ThreadedGateway) -> None:
    server.call(lambda gw: gw.starts.hold())
    process = doctor("--timeout", "0.3")
    assert process.ends() == 1
    assert "✗ signing key: no result within 0.3 s" in process.text


SDK_WITHOUT = """
import runpy, sys
import importlib.metadata
import inngest._internal.comm_lib as comm_lib
del comm_lib.get_function_configs
import inngest
inngest.Function = type("Function", (), {})  # it was not generic
version = importlib.metadata.version
importlib.metadata.version = lambda name: "0.4.22" if name == "inngest" else version(name)
sys.argv[1:] = ["doctor"]
runpy.run_module("connect", run_name="__main__")
"""


def test_an_sdk_that_no_worker_can_use_is_a_diagnosis_and_no_traceback(
    server: ThreadedGateway, start_process: Any
) -> None:
    """The SDK's release is out of range, or lacks a piece that a worker needs."""
    process = start_process("-c", SDK_WITHOUT, INNGEST_DEV=server.url)
    assert process.ends() == 1, process.text
    lines = process.text.splitlines()
    assert lines[0].startswith(
        "✗ SDK: inngest 0.4.22 lacks what this worker needs (cannot import name 'get_function_configs'"
    )
    assert lines[1] == "  → install 'inngest>=0.5.0,<0.6'"
    assert lines[-1] == "A worker cannot connect: see SDK."


class Utf8(io.StringIO):
    encoding = "utf-8"


class Ascii(io.StringIO):
    encoding = "ascii"


def shown(make: Callable[[io.StringIO], Report], findings: list[Finding], kind: type[io.StringIO] = Utf8) -> str:
    """The text that the report writes into a file."""
    out = kind()
    report = make(out)
    for finding in findings:
        with report.checking(finding.check):
            pass
        report.add(finding)
    report.end(Verdict(findings))
    return out.getvalue()


def test_a_terminal_of_80_columns_gets_a_table_with_what_could_not_be_checked_on_one_line() -> None:
    lines = shown(lambda out: Screen(Console(file=out, width=80, color_system=None)), FINDINGS).splitlines()
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if "│" in line] == [
        "│ ✓ │ SDK      │ inngest 0.5.19                             │",
        "│ ✗ │ API port │ 127.0.0.1:1 refuses: nothing listens there │",
        "│   │          │ → start the server                         │",
        "│ – │ 2 others │ not checked, because of: API port          │",  # noqa: RUF001 - a dash
    ]
    assert lines[-1] == "A worker cannot connect: see API port."


@pytest.mark.parametrize(("no_color", "coloured"), [(False, True), (True, False)])
def test_colours_are_left_out_where_they_are_not_wanted(no_color: bool, coloured: bool) -> None:
    def make(out: io.StringIO) -> Screen:
        return Screen(Console(file=out, width=80, force_terminal=True, color_system="standard", no_color=no_color))

    assert ("\x1b[1;31m" in shown(make, FINDINGS)) is coloured


def test_a_pipe_that_has_no_such_signs_gets_words() -> None:
    assert shown(Lines, FINDINGS, Ascii).splitlines() == [
        "ok SDK: inngest 0.5.19",
        "WRONG API port: 127.0.0.1:1 refuses: nothing listens there",
        "  -> start the server",
        "- API TLS: not checked, because of: API port",
        "- API answers: not checked, because of: API port",
        "A worker cannot connect: see API port.",
    ]
