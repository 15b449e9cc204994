"""Reads the list of survivors in docs/mutation.md, and writes its figures."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from statecharts.tools.drawing.markdown import row, rule
from statecharts.tools.walking.mutants import Mutant
from tests.mutate.trial import ROOT
from tests.mutate.verdicts import Verdict

Found: TypeAlias = Sequence[tuple[Mutant, Verdict]]
PAGE = ROOT / "docs/mutation.md"
_FIGURES = re.compile(r"(?<=<!-- figures -->\n).*(?=<!-- end -->)", re.DOTALL)
_SURVIVOR = re.compile(r"^\| `([^`]+)` \| (.+) \|$", re.MULTILINE)


def survivors(page: Path = PAGE) -> dict[str, str]:
    """By name, why no test kills each of them."""
    return dict(_SURVIVOR.findall(page.read_text()))


def faults(found: Found, listed: Collection[str], known: Collection[str]) -> Iterator[str]:
    """Where the list of survivors, or the tests, are wrong. *known*: the names of all mutants."""
    for mutant, verdict in found:
        if verdict.outcome == "survived" and mutant.name not in listed:
            yield f"survives: {mutant.name}; write the test that kills it, or list it in {PAGE.name} with the reason"
        if verdict.outcome != "survived" and mutant.name in listed:
            yield f"{verdict}; {PAGE.name} lists it as a survivor"
    for name in listed:
        if name not in known:
            yield f"there is no mutant {name!r}, but {PAGE.name} lists it"


def write(found: Found, page: Path = PAGE) -> None:
    """Write the figures into the page."""
    page.write_text(_FIGURES.sub(lambda _: figures(found), page.read_text()))


def figures(found: Found) -> str:
    """The table of all mutants, by chart and by kind."""
    lines = [row("chart", "change", "mutants", "refused", "killed", "survived"), rule(6)]
    groups = dict.fromkeys((mutant.chart.name, mutant.kind) for mutant, _ in found)
    for chart, kind in sorted(groups):
        own = [verdict for mutant, verdict in found if (mutant.chart.name, mutant.kind) == (chart, kind)]
        lines.append(_row(chart, kind, own))
    verdicts = [verdict for _, verdict in found]
    seconds = [verdict.seconds for verdict in verdicts]
    lines += [
        _row("all", "", verdicts),
        "",
        f"Trials: {sum(seconds) / 60:.0f} minutes, of which the longest took {max(seconds):.0f} s.",
    ]
    return "\n".join(lines) + "\n"


def _row(chart: str, kind: str, verdicts: Iterable[Verdict]) -> str:
    verdicts = list(verdicts)
    outcomes = Counter(verdict.outcome for verdict in verdicts)
    return row(chart, kind, str(len(verdicts)), *(str(outcomes[each]) for each in ("refused", "killed", "survived")))
