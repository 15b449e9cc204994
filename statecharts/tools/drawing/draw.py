"""Charts drawn into a folder, or checked against what lies there.

The text files come out byte-identical on every run. Of a picture the hash of its DOT text is checked
(`statecharts.tools.drawing.picture`).
"""

import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from statecharts import model
from statecharts.model import ChartModel
from statecharts.tools.drawing import dot, grid, mermaid, page, picture

FORMATS: dict[str, Callable[[ChartModel], str]] = {
    "mermaid": mermaid.render,
    "dot": dot.render,
    "json": model.to_json,
    "page": page.render,
    "grid": grid.render,
    "svg": lambda chart: picture.svg(dot.render(chart)),
}

JOINED = ("page", "grid", "dot")
"""Formats of which several after each other are still that format."""


def command(folder: Path) -> str:
    """What redraws *folder*."""
    return "python -m statecharts draw" + ("" if folder == Path("diagrams") else f" --into {shlex.quote(str(folder))}")


def texts(charts: Mapping[str, ChartModel], folder: Path) -> dict[str, str]:
    """Every generated text file: its name and what it should say. *charts* by the names that files get."""
    files = {name: text for stem, chart in charts.items() for name, text in _chart_texts(stem, chart)}
    return {**files, "README.md": _index(charts, folder)}


def stale(charts: Mapping[str, ChartModel], folder: Path) -> list[str]:
    """Names of the files in *folder* that do not say what the charts say."""
    wanted = texts(charts, folder)
    wrong = [name for name, text in wanted.items() if _read(folder / name) != text]
    drawn = {_svg(name): picture.stamp(text) for name, text in wanted.items() if name.endswith(".dot")}
    return sorted(wrong + [name for name, stamp in drawn.items() if stamp not in _read(folder / name)])


def draw(charts: Mapping[str, ChartModel], folder: Path) -> None:
    """Write every file into *folder*, pictures last.

    Raises: UnusableError: there is no Graphviz; the text files are written. OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = texts(charts, folder)
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    for name in filter(lambda name: name.endswith(".dot"), wanted):
        (folder / _svg(name)).write_text(picture.svg(wanted[name]), encoding="utf-8", newline="\n")


def _chart_texts(stem: str, chart: ChartModel) -> Iterator[tuple[str, str]]:
    links = ", ".join(f"[{words}]({stem}.{kind})" for kind, words in _OTHERS.items())
    yield f"{stem}.md", page.render(chart, picture=f"{stem}.svg", more=f"The same chart: {links}.")
    yield f"{stem}.grid.md", grid.render(chart)
    yield f"{stem}.mmd", mermaid.render(chart)
    yield f"{stem}.dot", dot.render(chart)
    yield f"{stem}.json", model.to_json(chart)


def _svg(name: str) -> str:
    return name.removesuffix(".dot") + ".svg"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


_OTHERS = {"grid.md": "every state, every event", "mmd": "Mermaid", "dot": "DOT", "json": "JSON"}


def _index(charts: Mapping[str, ChartModel], folder: Path) -> str:
    rows = []
    for stem, chart in charts.items():
        question = chart.prose.partition("\n")[0]
        files = ", ".join(f"[{kind}]({stem}.{kind})" for kind in ("svg", "mmd", "grid.md", "dot", "json"))
        rows.append(f"| [{chart.name}]({stem}.md) | {question} | {files} |")
    return _INDEX.format(rows="\n".join(rows), command=command(folder))


_INDEX = """\
# Diagrams

Generated from the charts; edit those, then run `{command}`. `{command} --check` tells whether these files are fresh.

| chart | its question | files |
|---|---|---|
{rows}

How to read a picture:

- A box is a state. Below its name: what entry and exit do, and the events that it answers without being left.
- An arrow carries `event [guard] / actions`. `[else]`: every candidate before it refused. `(always)`: tried after every event.
  `/ then`: once the new state is entered.
- An arrow from the border of a box leaves every state in it. A state's own arrow for the same event comes first.
- Dashed boxes are regions: independent of each other and active together. A double border ends the chart or its box.
- Events that begin with `error_`, in red, are what an action that raised turns into.
"""
