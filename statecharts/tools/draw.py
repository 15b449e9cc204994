"""Draw the charts into `diagrams/`, or check that what lies there is what the charts say.

    python -m statecharts.tools.draw [--check] [--into FOLDER]

The text files (.mmd, .dot, .md, .json) come out byte-identical on every run. A picture does not, with another Graphviz or other
fonts, so each SVG carries a hash of the DOT text that it was drawn from, and that is what is checked. Only pictures need Graphviz.
"""

import argparse
import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from statecharts import CHARTS, model
from statecharts.tools import dot, mermaid, page

COMMAND = "python -m statecharts.tools.draw"

_NO_GRAPHVIZ = (
    "the program `dot` is not installed, so no SVG was drawn; on Debian: apt-get install graphviz fonts-dejavu-core"
)


def texts() -> dict[str, str]:
    """Every generated text file: its name and what it should say."""
    files = {name: text for chart in CHARTS for name, text in _chart_texts(chart)}
    return {**files, "README.md": _index()}


def stale(folder: Path) -> list[str]:
    """Names of the files in *folder* that do not say what the charts say."""
    wanted = texts()
    wrong = [name for name, text in wanted.items() if _read(folder / name) != text]
    drawn = {_svg(name): _stamp(text) for name, text in wanted.items() if name.endswith(".dot")}
    return sorted(wrong + [name for name, stamp in drawn.items() if stamp not in _read(folder / name)])


def draw(folder: Path) -> bool:
    """Write every file into *folder*; False where the pictures had to be left out because Graphviz is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = texts()
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8")
    program = shutil.which("dot")
    if program is None:
        return False
    for name in filter(lambda name: name.endswith(".dot"), wanted):
        (folder / _svg(name)).write_text(_picture(program, wanted[name]), encoding="utf-8")
    return True


def main(arguments: list[str] | None = None) -> int:
    """The command. Exit code 0: drawn, or fresh; 1: `--check` found something stale."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is stale")
    parser.add_argument("--into", type=Path, default=Path("diagrams"), metavar="FOLDER", help="default: diagrams")
    options = parser.parse_args(arguments)
    if options.check:
        return _check(options.into)
    if not draw(options.into):
        sys.stderr.write(f"{_NO_GRAPHVIZ}\n")
    return 0


def _check(folder: Path) -> int:
    wrong = stale(folder)
    if wrong:
        names = ", ".join(str(folder / name) for name in wrong)
        sys.stderr.write(f"stale: {names}\nrun `{COMMAND}` and commit the result\n")
    return 1 if wrong else 0


def _chart_texts(chart: type[Any]) -> Iterator[tuple[str, str]]:
    plain, ignored = model.read(chart), chart.ignored
    stem = plain.name.lower()
    data = {**asdict(plain), "ignored": {state: sorted(events) for state, events in ignored.items()}}
    yield f"{stem}.mmd", mermaid.render(plain)
    yield f"{stem}.dot", dot.render(plain)
    yield f"{stem}.md", page.render(plain, ignored, sys.modules[chart.__module__].__doc__ or "")
    yield f"{stem}.json", json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _picture(program: str, text: str) -> str:
    result = subprocess.run([program, "-Tsvg"], input=text, capture_output=True, text=True, check=True)  # noqa: S603
    head, mark, body = result.stdout.partition("<svg")
    return f"{head}<!-- {_stamp(text)} -->\n{mark}{body}"


def _stamp(text: str) -> str:
    return f"drawn from DOT text with SHA-256 {hashlib.sha256(text.encode()).hexdigest()}"


def _svg(name: str) -> str:
    return name.removesuffix(".dot") + ".svg"


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _index() -> str:
    rows = []
    for chart in CHARTS:
        stem = chart.__name__.lower()
        question = (sys.modules[chart.__module__].__doc__ or "").partition("\n")[0]
        others = ", ".join(f"[{kind}]({stem}.{kind})" for kind in ("svg", "mmd", "dot", "json"))
        rows.append(f"| [{chart.__name__}]({stem}.md) | {question} | {others} |")
    return _INDEX.format(rows="\n".join(rows), command=COMMAND)


_INDEX = """\
# Diagrams

Generated from `statecharts/`; edit the charts, then run `{command}`. `{command} --check` tells whether these files are fresh.

| chart | its question | files |
|---|---|---|
{rows}

How to read a picture:

- A box is a state, named in capitals. Below its name: what entry and exit do, and the events that it answers without being left.
- An arrow carries `event [guard] / actions`. `[else]`: every candidate before it refused. `(always)`: tried after every event.
- An arrow from the border of a box leaves every state in it. A state's own arrow for the same event comes first.
- Dashed boxes are regions: independent of each other and active together. A double border ends the chart.
- `error_execution`, in red, is what an action that raised turns into.
"""


if __name__ == "__main__":
    sys.exit(main())
