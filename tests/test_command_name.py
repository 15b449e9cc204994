"""The command's name in what it says, as the user typed it."""

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

from connect import command_name


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (ModuleSpec("connect.__main__", None), "python -m connect"),
        (ModuleSpec("pytest.__main__", None), "statechart-connect"),
        (None, "statechart-connect"),  # a script has none
    ],
)
def test_it_is_the_modules_or_the_scripts(monkeypatch: pytest.MonkeyPatch, spec: ModuleSpec | None, name: str) -> None:
    main = ModuleType("__main__")
    main.__spec__ = spec
    monkeypatch.setitem(sys.modules, "__main__", main)
    assert command_name.typed() == name
