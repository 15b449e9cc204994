"""The three terminals of the quick start show what the page says that they show."""

import inspect
import json
import re
import tomllib
import urllib.request
from pathlib import Path
from typing import Any

from connect.cli.run import run
from tests.docs.pages import DOCS, Command, blocks, files, masked, session

PAGE = DOCS / "quickstart.md"


def test_the_page_shows_what_the_terminals_say(tmp_path: Path, start_process: Any) -> None:
    (tmp_path / "hello.py").write_text(files(PAGE)["hello.py"])
    served, worked, sent = session()

    gateway = start_process("-m", "connect", "gateway", "--port", "0")
    url = re.findall(r"http://127\.0\.0\.1:\d+", gateway.expect("gateway at"))[0]
    worker = start_process(*worked.words[1][1:], INNGEST_DEV=url)
    gateway.expect("takes work")
    answer = post(sent, url)
    gateway.expect("DONE")
    worker.signal()
    assert worker.ends() == 0
    gateway.signal()
    assert gateway.ends() == 0

    events, ending = (block.text.splitlines() for block in blocks(PAGE, "text"))
    assert missing([*served.shown, *events], gateway.text) == [], gateway.text
    assert missing([*worked.shown, *ending], worker.text) == [], worker.text
    assert missing(list(sent.shown), answer) == []


def test_the_project_file_is_one_that_the_command_takes() -> None:
    [block] = blocks(PAGE, "toml")
    given = tomllib.loads(block.text)["tool"]["connect"]
    assert {name.replace("-", "_") for name in given} <= set(inspect.signature(run).parameters)


def post(command: Command, url: str) -> str:
    [(path, body)] = re.findall(r"curl http://127\.0\.0\.1:8288(\S+) -d '(.*)'", command.text)
    sent = json.dumps(json.loads(body)).encode()
    with urllib.request.urlopen(url + path, sent, timeout=10) as answer:  # noqa: S310
        return str(answer.read().decode())


def missing(shown: list[str], said: str) -> list[str]:
    there = {masked(line) for line in said.splitlines()}
    return [line for line in shown if masked(line) not in there]
