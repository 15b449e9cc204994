"""The logs on docs/lifecycle.md are those that a real worker writes in the same situation."""

import itertools
import re
from pathlib import Path

import pytest

from tests.docs.pages import masked
from tests.docs.stories import PAGE, STORIES, tell

CURE = "docs/lifecycle.md is behind: `python -m tests.docs.stories {title!r}` prints the log to paste"


def shown(title: str) -> list[str]:
    """The log that the page shows under *heading*."""
    _, _, section = PAGE.read_text().partition(f"\n## {title}\n")
    found = re.search(r"```text\n(.*?)```", section.partition("\n## ")[0], re.DOTALL)
    return found[1].splitlines() if found else []


def told(lines: list[str]) -> list[str]:
    """The log without what differs each time; a line that is repeated for each attempt counts once."""
    return [line for line, _ in itertools.groupby(re.sub(r"attempt \d+", "attempt N", masked(line)) for line in lines)]


@pytest.mark.parametrize("title", STORIES)
def test_the_page_shows_the_log(title: str, tmp_path: Path) -> None:
    assert told(shown(title)) == told(tell(title, tmp_path)), CURE.format(title=title)


def test_every_log_of_the_page_is_lived() -> None:
    logged = re.findall(r"\n## ([^\n]+)\n(?:(?!\n## ).)*?```text", PAGE.read_text(), re.DOTALL)
    assert sorted(logged) == sorted(STORIES)
