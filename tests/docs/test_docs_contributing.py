"""CONTRIBUTING.md names files, targets and names of the code that are there."""

import re

from tests.docs.pages import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
TICKED = re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL))


def test_its_files_are_there() -> None:
    named = [name for name in TICKED if re.fullmatch(r"[\w./-]+(/|\.\w+)", name) and "/" in name and "NAME" not in name]
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_its_targets_are_there() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"(?:`|\$ )make ([a-z]+)\b", PAGE)) <= set(targets)


def test_its_names_are_in_the_files_that_it_names_beside_them() -> None:
    """Each step begins with a file; the constants and classes that the step names are in one of its files."""
    for step in re.findall(r"^\d\. (.*?)(?=^\d\. |^#|\Z)", PAGE, re.MULTILINE | re.DOTALL):
        files = [ROOT / name for name in re.findall(r"`([\w/]+\.(?:py|proto|md))`", step) if (ROOT / name).is_file()]
        text = "".join(path.read_text(encoding="utf-8") for path in files)
        names = re.findall(r"`(_[A-Z]+|[A-Z][a-z]\w+|_[a-z]\w+|[A-Z]+S)`", step)
        assert [name for name in names if files and name not in text] == [], step
