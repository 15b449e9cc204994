"""Every place that installs uses a lock as it is, the locks are complete, and all places agree on the Pythons."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PLACES = [
    ROOT / "Makefile",
    ROOT / "deploy" / "Dockerfile",
    *(ROOT / ".ci").iterdir(),
    *(ROOT / ".github").rglob("*.yml"),
]
RESOLVED_ON_PURPOSE = {
    "--quiet --upgrade pip": "make newest",
    "--quiet --upgrade --group dev --editable .": "make newest",
    "--no-cache-dir -r others.txt": "the image: what the user's own list asks for",
}


def installs(place: Path) -> list[str]:
    """What follows each `pip install`."""
    return [found.strip() for found in re.findall(r"pip install ([^;&\n\\]*)", place.read_text())]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: str(place.relative_to(ROOT)))
def test_nothing_is_resolved_but_on_purpose(place: Path) -> None:
    resolved = [words for words in installs(place) if "--no-deps" not in words.split()]

    assert set(resolved) <= set(RESOLVED_ON_PURPOSE)


def test_what_is_resolved_on_purpose_is_there() -> None:
    assert {words for place in PLACES for words in installs(place)} >= set(RESOLVED_ON_PURPOSE)


def test_make_knows_each_lock_and_makes_it_anew() -> None:
    """`make lock` writes all of them, with the newest releases."""
    recipe = (ROOT / "Makefile").read_text().partition("\nlock: ")[2].partition("\n\n")[0].replace("\\\n", " ")
    commands = [line for line in recipe.splitlines() if line.startswith("\t$(RESOLVE)")]

    assert {ROOT / word for line in commands for word in line.split() if word.endswith(".txt")} == set(LOCKS)
    assert {"--upgrade", "--no-strip-extras", "--generate-hashes", "--universal"} <= set(
        (ROOT / "Makefile").read_text().partition("\nRESOLVE = ")[2].partition("\n\n")[0].split()
    )


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_pins_and_hashes_everything_and_names_no_address(lock: Path) -> None:
    text = lock.read_text()
    entries = re.split(r"\n(?=\S)", text.strip())

    assert all(re.match(r"[\w.-]+(\[[\w,-]+\])?==\S+ ", entry) for entry in entries)
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text


def test_an_extra_that_is_needed_stays_in_the_lock() -> None:
    """An old pip would otherwise look for the newest release that has the extra."""
    assert "coverage[toml]==" in (ROOT / "requirements" / "dev.txt").read_text()


def test_all_places_name_the_same_pythons() -> None:
    classified = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["project"]["classifiers"]))
    [jobs] = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"].values()

    assert jobs["strategy"]["matrix"]["python"] == classified
    assert PROJECT["project"]["requires-python"] == f">={classified[0]}"
    for page in ("README.md", "docs/quickstart.md", "docs/migrating.md", "CHANGELOG.md"):
        assert f"Python {classified[0]} to {classified[-1]}" in (ROOT / page).read_text(), page
    assert f"OLDEST = {tuple(map(int, classified[0].split('.')))}" in (ROOT / "requirements" / "install.py").read_text()
