"""Transition coverage as one HTML page, which needs no other file, in light and dark colours."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from itertools import groupby

from statecharts.tools.coverage.cover import ChartCover, Seen, TransitionCover, Unmoved, part
from statecharts.tools.coverage.ways import Gap
from statecharts.tools.drawing import labels, nesting
from statecharts.tools.drawing.marks import HALF, NEVER, TAKEN, Mark

_CLASSES = {TAKEN: "taken", HALF: "half", NEVER: "never"}


def render(covers: Sequence[ChartCover], gaps: Sequence[Sequence[Gap]], pictures: Mapping[str, str]) -> str:
    """The page. *gaps*: those of each chart; *pictures*: HTML by the charts' labels."""
    charts = (_chart(cover, gap, pictures[cover.label]) for cover, gap in zip(covers, gaps, strict=True))
    key = "; ".join(f"{_sign(mark)} {mark.meaning}" for mark in _CLASSES)
    return _PAGE.format(key=key, summary=_summary(covers), charts="\n".join(charts))


def _summary(covers: Sequence[ChartCover]) -> str:
    head = "<tr><th>chart<th>transitions<th>guard outcomes<th>events refused<th>ignored</tr>"
    return "\n".join(["<table>", head, *map(_summary_row, covers), "</table>"])


def _summary_row(cover: ChartCover) -> str:
    refused = sum(each.seen.count for each in cover.unmoved if not each.ignored)
    ignored = sum(each.seen.count for each in cover.unmoved if each.ignored)
    taken = [bool(each.taken.count) for each in cover.transitions]
    outcomes = [bool(seen.count) for each in cover.transitions for seen in each.outcomes]
    name = escape(cover.label)
    return (
        f'<tr><td><a href="#{name}">{name}</a><td>{_bar(taken)}<td>{_bar(outcomes)}'
        f'<td class="number">{refused}<td class="number">{ignored}</tr>'
    )


def _bar(done: Sequence[bool]) -> str:
    if not done:
        return "none"
    mark = TAKEN if all(done) else HALF if any(done) else NEVER
    meter = f'<progress class="{_CLASSES[mark]}" max="{len(done)}" value="{sum(done)}"></progress>'
    return f"{meter} {part(done)}"


def _chart(cover: ChartCover, gaps: Sequence[Gap], picture: str) -> str:
    name = escape(cover.label)
    question = escape(cover.chart.prose.partition("\n")[0])
    sections = [
        f'<section id="{name}"><h2>{name}</h2>',
        f"<p>{question} <code>{escape(cover.identity)}</code></p>",
        f'<div class="picture">{picture}</div>',
        *_gaps(gaps),
        *_transitions(cover),
        *_events(cover),
        "</section>",
    ]
    return "\n".join(sections)


def _gaps(gaps: Sequence[Gap]) -> Iterator[str]:
    if gaps:
        yield "<h3>Missing</h3><dl>"
        for gap in gaps:
            yield f'<dt><b class="never">{NEVER.sign} {escape(gap.what)}</b> <code>{escape(gap.name)}</code><dd>{escape(gap.way)}'
        yield "</dl>"


def _table(title: str, head: Iterable[str], rows: Iterable[str]) -> Iterator[str]:
    yield f'<h3>{title}</h3><div class="wide"><table><tr>{"".join(map(_head, head))}</tr>'
    yield from rows
    yield "</table></div>"


def _head(column: str) -> str:
    return f'<th class="number">{column}' if column in _NUMBERS else f"<th>{column}"


_GUARD = ("guard held", "guard refused")
_NUMBERS = ("taken", *_GUARD, "times")


def _transitions(cover: ChartCover) -> Iterator[str]:
    guarded = any(each.edge.guard for each in cover.transitions)
    head = ("", "state", "event", "target", "taken", *(_GUARD if guarded else ()), "by tests")
    return _table("Transitions", head, (_transition(cover, each, guarded=guarded) for each in cover.transitions))


def _transition(cover: ChartCover, each: TransitionCover, *, guarded: bool) -> str:
    edge = each.edge
    cells = (
        _sign(each.mark),
        escape(nesting.path(cover.chart, edge.source)),
        f"<code>{escape(labels.event(edge))}</code> {escape(labels.guard(cover.chart, edge))}",
        escape(", ".join(nesting.path(cover.chart, target) for target in edge.targets) or "stays"),
    )
    numbers = [_number(each.taken), *map(_number, each.outcomes)] + ["<td>"] * (2 * guarded - len(each.outcomes))
    tests = {"taken": each.taken, "guard refused": each.refused} if edge.guard else {"": each.taken}
    return f"<tr>{''.join(f'<td>{cell}' for cell in cells)}{''.join(numbers)}<td>{_tests(tests)}</tr>"


def _events(cover: ChartCover) -> Iterator[str]:
    head = ("", "in states", "event", "times", "by tests")
    rows = (_unmoved(cover, each) for each in cover.unmoved)
    return _table("Events that moved nothing", head, rows) if cover.unmoved else iter(())


def _unmoved(cover: ChartCover, each: Unmoved) -> str:
    states = escape(" + ".join(nesting.path(cover.chart, state) for state in each.states))
    word = "ignored" if each.ignored else "refused"
    return (
        f"<tr><td>{word}<td>{states}<td><code>{escape(each.event)}</code>"
        f'<td class="number">{each.seen.count}<td>{_tests({"": each.seen})}</tr>'
    )


def _sign(mark: Mark) -> str:
    return f'<b class="{_CLASSES[mark]}" title="{escape(mark.meaning)}">{mark.sign}</b>'


def _number(seen: Seen) -> str:
    return f'<td class="number{"" if seen.count else " never"}">{seen.count}'


def _tests(seen: Mapping[str, Seen]) -> str:
    lists = [_test_list(title, each.tests) for title, each in seen.items() if each.tests]
    count = len({test for each in seen.values() for test in each.tests})
    if not count:
        return ""
    return f"<details><summary>{count} test{'s' * (count > 1)}</summary>{''.join(lists)}</details>"


def _test_list(title: str, tests: Sequence[str]) -> str:
    """By file, so that its long name stands once."""
    files = groupby((test.partition("::") for test in tests), key=lambda parts: parts[0])
    lists = (f"<li>{escape(file)}{_list(f'<li>{escape(name)}' for _, _, name in parts)}" for file, parts in files)
    return f"{title and f'<p>{title}</p>'}{_list(lists)}"


def _list(items: Iterable[str]) -> str:
    return f"<ul>{''.join(items)}</ul>"


_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Transition coverage</title>
<style>
:root {{
  color-scheme: light dark;
  --ink: light-dark(#1f2328, #e6edf3); --soft: light-dark(#59636e, #9198a1); --page: light-dark(#ffffff, #0d1117);
  --line: light-dark(#d1d9e0, #30363d); --shade: light-dark(#f6f8fa, #151b23);
  --taken: light-dark(#116329, #3fb950); --half: light-dark(#7d4e00, #d29922); --never: light-dark(#a40e26, #ff7b72);
}}
body {{ margin: 2rem auto; max-width: 76rem; padding: 0 1.5rem; color: var(--ink); background: var(--page);
  font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; }}
h1 {{ font-size: 1.7rem; }} h2 {{ font-size: 1.35rem; margin-top: 3rem; border-bottom: 1px solid var(--line); }}
h3 {{ font-size: 1rem; margin: 1.8rem 0 .5rem; }}
a {{ color: inherit; }}
p > code {{ color: var(--soft); margin-left: .5rem; }}
code {{ font: .9em ui-monospace, "DejaVu Sans Mono", monospace; }}
table {{ border-collapse: collapse; }}
.wide table {{ width: 100%; }} .wide :is(th, td):last-child {{ width: 99%; min-width: 14rem; }}
.wide td:not(:last-child) {{ white-space: nowrap; }}
th {{ white-space: nowrap; color: var(--soft); font-weight: 600; }}
th, td {{ text-align: left; padding: .3rem 1rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }}
.number {{ text-align: right; font-variant-numeric: tabular-nums; }}
.taken {{ color: var(--taken); }} .half {{ color: var(--half); }} .never {{ color: var(--never); }}
progress {{ width: 8rem; height: .6rem; vertical-align: baseline; accent-color: currentColor; }}
.picture {{ background: #ffffff; border: 1px solid var(--line); border-radius: 8px; padding: 1rem; overflow-x: auto; }}
.picture svg {{ display: block; margin: auto; max-width: 100%; height: auto; }}
.picture pre {{ color: #1f2328; margin: 0; }}
.wide {{ overflow-x: auto; }}
dt {{ margin-top: .5rem; }} dd {{ color: var(--soft); margin-left: 1rem; }}
summary {{ color: var(--soft); cursor: pointer; white-space: nowrap; }}
details ul {{ padding-left: 1.1rem; margin: .2rem 0; }} details li {{ overflow-wrap: anywhere; }}
details p {{ margin: .4rem 0 0; font-weight: 600; }}
</style>
<h1>Transition coverage</h1>
<p>{key}</p>
{summary}
{charts}
"""
