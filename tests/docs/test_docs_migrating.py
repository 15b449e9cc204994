"""docs/migrating.md names every option, member and state of both clients."""

import inspect
import re

import inngest.connect

from connect import ConnectionState, WorkerConnection
from connect.options import declared
from tests.docs.pages import DOCS

PAGE = (DOCS / "migrating.md").read_text(encoding="utf-8")


def first_cells(title: str) -> set[str]:
    """The first column of the table in that section."""
    section = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| ([^|]*) \|", section, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)", cell)}


def test_every_option_of_either_client_is_there() -> None:
    official = inspect.signature(inngest.connect.connect).parameters
    assert first_cells("Options") == {*(each.name for each in declared()), *official}


def test_every_member_is_there() -> None:
    members = {name for name in vars(WorkerConnection) if not name.startswith("_")}
    assert members <= first_cells("The object that `connect()` returns")


def test_every_state_is_there() -> None:
    assert [state.value for state in ConnectionState if state.value not in PAGE] == []
