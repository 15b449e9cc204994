"""docs/runbook.md explains every alert, metric, state and warning, and none that does not exist."""

import ast
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from connect.log_format import FIELDS, JsonLines
from connect.status import ConnectionState, Status
from connect.watching.metrics import Metrics
from tests.docs.pages import DOCS, ROOT

PAGE = (DOCS / "runbook.md").read_text(encoding="utf-8")
ELSEWHERE = ("gateway", "doctor", "lab", "cli/demo")
"""What no production worker runs."""


class Idle:
    """A worker without events."""

    def on(self, _kind: object, _callback: object) -> object:
        return lambda: None

    def status(self) -> Status:
        return Status(state=ConnectionState.ACTIVE)


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_every_alert_has_its_entry() -> None:
    rules = yaml.safe_load((ROOT / "deploy" / "alerts.yaml").read_text())["groups"]
    alerts = [rule["alert"] for group in rules for rule in group["rules"]]
    assert re.findall(r"^### (\w+)$", section("Alerts"), re.MULTILINE) == alerts


def test_every_metric_is_in_the_table() -> None:
    page = Metrics(Idle()).page().decode()  # type: ignore[arg-type]
    known = {name for name in re.findall(r"# TYPE inngest_connect_(\w+)", page) if not name.endswith("_created")}
    first = re.findall(r"^\| (`[^|]*)\|", section("Metrics"), re.MULTILINE)
    assert {name for cell in first for name in re.findall(r"`(\w+)`", cell)} == known


def test_every_state_that_can_last_has_its_entry() -> None:
    titles = re.findall(r"^### (\w+)", section("States that last too long"), re.MULTILINE)
    assert set(titles) == {"CONNECTING", "RECONNECTING", "DRAINING", "ACTIVE"}


def test_every_field_of_the_json_log_is_in_the_table() -> None:
    record = logging.LogRecord("connect", logging.INFO, "", 0, "words", None, (None, None, None))
    always = set(json.loads(JsonLines().format(record)))
    cells = re.findall(r"^\| ((?:`[a-z_]+`(?:, )?)+) \|", section("Log lines").partition("| line |")[0], re.MULTILINE)
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == always | set(FIELDS)


def said_of_trouble() -> Iterator[str]:
    """The texts of the worker's warnings and errors; what differs each time is left open."""
    for path in sorted((ROOT / "connect").rglob("*.py")):
        name = str(path.relative_to(ROOT / "connect"))
        if not name.startswith(ELSEWHERE):
            yield from _warnings(ast.parse(path.read_text(encoding="utf-8")))


def _warnings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="log"), attr="warning" | "error" | "exception"),
                args=[ast.Constant(value=str() as text), *_],
            ):
                yield _open(text)
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="log"), attr="log"),
                args=[_, ast.Constant(value=str() as text), *_],
            ):
                yield _open(text)
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="log"), attr="makeRecord"),
                args=[_, _, _, _, ast.Constant(value=str() as text), *_],
            ):
                yield _open(text)


def _open(text: str) -> str:
    return re.sub(r"%[\d.]*[sdgf]", "…", text)


def lines_of_the_page() -> list[str]:
    return re.findall(r"^\| `([^`]*)` \|", section("Log lines").partition("| line |")[2], re.MULTILINE)


def fits(line: str, text: str) -> bool:
    """Whether a text of the page and one of the code can be the same line; both leave parts open."""
    return bool(re.fullmatch(re.escape(line).replace("…", ".*"), text, re.DOTALL))


@pytest.mark.parametrize("text", sorted(set(said_of_trouble())))
def test_every_warning_is_explained(text: str) -> None:
    assert any(fits(line, text) for line in lines_of_the_page()), f"docs/runbook.md, Log lines: no row for {text!r}"


@pytest.mark.parametrize("line", [line for line in lines_of_the_page() if not line.startswith("there is a signing")])
def test_every_line_is_one_that_is_said(line: str) -> None:
    assert any(fits(line, text) for text in said_of_trouble())


def test_the_caution_about_a_key_is_said() -> None:
    source = Path(ROOT / "connect" / "configuration.py").read_text(encoding="utf-8")
    assert "there is a signing key, but {cause}, so this worker is in development mode and turns to {goes_to}" in source
