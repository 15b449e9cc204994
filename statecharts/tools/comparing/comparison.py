"""Two versions compared, chart by chart: as Markdown for a pull request, as a picture, as data."""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import get_args

from statecharts.model import ChartModel
from statecharts.tools import load
from statecharts.tools.comparing import revision
from statecharts.tools.comparing.diff import Diff, Subject, diff
from statecharts.tools.comparing.revision import Version
from statecharts.tools.drawing import dot, mermaid, picture
from statecharts.tools.drawing.markdown import row, rule
from statecharts.tools.drawing.marks import ADDED, CHANGED, REMOVED
from statecharts.tools.load import UnusableError


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was compared, and a diff for each chart."""

    old: Version
    new: Version
    diffs: tuple[Diff, ...]


def compare(old: str, new: str | None, names: Sequence[str] | None = None) -> Comparison:
    """Compare the versions *old* and *new* (see `revision.version`; None: the working tree) of the charts that they name.

    If they name none: of *names*, or, without these, of those that the project lists. Raises: UnusableError: one cannot be read.
    """
    before, after = revision.version(old), revision.version(new) if new else Version(None, None)
    if before.revision is None and new is None:
        raise UnusableError(f"nothing to compare {old} with: give OLD and NEW, or a git revision")
    named = [version.chart for version in (before, after) if version.chart]
    asked = [] if named else list(names or load.listed())
    olds, news = named[:1] or asked, named[-1:] or asked
    was, now = revision.charts(before.revision, olds), revision.charts(after.revision, news)
    for one, other, first, second in zip(olds, news, was, now, strict=True):
        _demand(Version(before.revision, one), Version(after.revision, other), first, second)
    return Comparison(before, after, tuple(map(diff, was, now)))


def _demand(old: Version, new: Version, was: ChartModel | None, now: ChartModel | None) -> None:
    """One name may be missing in one version: the chart is new, or gone. Of two different names neither may be missing."""
    missing = [version for version, chart in ((old, was), (new, now)) if chart is None]
    if len(missing) == 2 or (missing and old.chart != new.chart):
        raise UnusableError(f"there is no chart {' nor '.join(dict.fromkeys(map(str, missing)))}")


def page(found: Comparison) -> str:
    """A section for each chart: how much changed, the table of changes, and the picture."""
    return "\n".join(_section(each, f"{_quoted(found.old)} → {_quoted(found.new)}") for each in found.diffs)


def _quoted(version: Version) -> str:
    return f"`{version}`" if version.revision or version.chart else str(version)


def summary(found: Diff) -> str:
    """How many things were added, removed and changed, in a line."""
    counts = Counter((change.subject, change.mark.meaning) for change in found.changes)
    kinds = [(subject, mark.meaning) for subject in get_args(Subject) for mark in (ADDED, REMOVED, CHANGED)]
    counted = [(counts[kind], *kind) for kind in kinds if kind in counts]
    return ", ".join(f"{n} {subject}{'s' * (n > 1)} {how}" for n, subject, how in counted) or "no difference"


def _section(found: Diff, versions: str) -> str:
    was = f" (was {found.old.name})" if found.old.name != found.new.name else ""
    sections = [f"## {found.new.name}{was}", f"{versions}: {summary(found)}."]
    if found.changes:
        sections += [_table(found), f"```mermaid\n{mermaid.render(found.union, found.marks)}```"]
    return "\n\n".join(sections) + "\n"


def _table(found: Diff) -> str:
    rows = [row(change.mark.sign, change.where, change.what, change.how) for change in found.changes]
    return "\n".join([row("", "state", "what", "change"), rule(4), *rows])


def _json(found: Comparison) -> str:
    charts = [{"old": each.old.name, "new": each.new.name, "changes": _changes(each)} for each in found.diffs]
    return json.dumps(charts, indent=2, ensure_ascii=False) + "\n"


def _changes(found: Diff) -> list[dict[str, object]]:
    return [{**asdict(change), "mark": change.mark.meaning} for change in found.changes]


def _only(found: Comparison) -> Diff:
    if len(found.diffs) > 1:
        names = ", ".join(each.new.name for each in found.diffs)
        raise UnusableError(f"a picture shows one chart, not {names}: choose with --chart MODULE:CHART")
    return found.diffs[0]


def _mermaid(found: Comparison) -> str:
    one = _only(found)
    return mermaid.render(one.union, one.marks)


def _dot(found: Comparison) -> str:
    one = _only(found)
    return dot.render(one.union, one.marks)


FORMATS: dict[str, Callable[[Comparison], str]] = {
    "md": page,
    "svg": lambda found: picture.svg(_dot(found)),
    "mermaid": _mermaid,
    "dot": _dot,
    "json": _json,
}
