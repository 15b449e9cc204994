"""The command: `python -m statecharts draw|table|diff|grid|paths`, for any chart that Python can import."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from statecharts import library, model
from statecharts.model import ChartModel
from statecharts.tools import load
from statecharts.tools.comparing import comparison
from statecharts.tools.drawing import draw, grid, page
from statecharts.tools.load import UnusableError
from statecharts.tools.walking import routes

_CHART = "MODULE:CHART"
_DEFAULT = f"default: those of pyproject.toml, {load.SETTING}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Exit code 0: done; 1: something differs or is stale; 2: it cannot be done, and one line says why."""
    try:
        options = _parser().parse_args(arguments)
        library.check()
        code: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has closed the pipe; on exit Python would write to it again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (UnusableError, library.LackingError, OSError) as error:
        sys.stderr.write(f"statecharts: {error}\n")
        return 2
    return code


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UnusableError(f"{message} (see {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m statecharts",
        description="Draw, tabulate, compare and walk statecharts: every chart of python-statemachine that can be imported.",
        epilog="example:\n  python -m statecharts table statecharts:Connection",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)
    _draw_options(
        _command(
            commands, "draw", _draw, "pictures, tables and grids into a folder, or one of them to the screen", _DRAWN
        )
    )
    _diff_options(
        _command(
            commands,
            "diff",
            _diff,
            "what differs between two versions of a chart; exit code 1 if anything does",
            _COMPARED,
        )
    )
    for name, run, what in _ONE:
        command = _command(commands, name, run, what, f"python -m statecharts {name} statecharts:Connection")
        command.add_argument("chart", metavar=_CHART)
    return parser


def _command(
    commands: "argparse._SubParsersAction[_Parser]",
    name: str,
    run: Callable[[argparse.Namespace], int],
    what: str,
    example: str,
) -> _Parser:
    command = commands.add_parser(
        name,
        help=what,
        description=what[0].upper() + what[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    return command


_DRAWN = "python -m statecharts draw statecharts:Connection --format mermaid"


def _draw_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("charts", nargs="*", metavar=_CHART, help=_DEFAULT)
    command.add_argument("--into", type=Path, default=Path("diagrams"), metavar="FOLDER", help="default: diagrams")
    command.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is stale")
    command.add_argument("--format", choices=draw.FORMATS, help="to the screen instead, this only")


def _draw(options: argparse.Namespace) -> int:
    charts = _by_stem(options.charts or load.listed())
    if options.format:
        if len(charts) > 1 and options.format not in draw.JOINED:
            names = ", ".join(chart.name for chart in charts.values())
            raise UnusableError(f"{options.format} shows one chart, not {names}: choose with {_CHART}")
        render = draw.FORMATS[options.format]
        sys.stdout.write("".join(render(chart) for chart in charts.values()))
        return 0
    if options.check:
        return _check(charts, options.into)
    try:
        draw.draw(charts, options.into)
    except OSError as error:
        raise UnusableError(
            f"cannot write {error.filename}: {error.strerror}; choose another folder with --into"
        ) from None
    return 0


def _by_stem(names: Sequence[str]) -> dict[str, ChartModel]:
    """The charts by the names that their files get."""
    charts: dict[str, ChartModel] = {}
    for name in dict.fromkeys(names):
        stem = name.rpartition(":")[2].rpartition(".")[2].lower()
        if stem in charts:
            raise UnusableError(f"{name}: another chart is drawn as {stem}.md; draw them into two folders with --into")
        charts[stem] = _read(name)
    return charts


def _check(charts: dict[str, ChartModel], folder: Path) -> int:
    wrong = draw.stale(charts, folder)
    if wrong:
        names = ", ".join(str(folder / name) for name in wrong)
        sys.stderr.write(f"stale: {names}\nrun `{draw.command(folder)}` and commit the result\n")
    return 1 if wrong else 0


_COMPARED = "python -m statecharts diff main --chart statecharts:Connection"
_VERSION = "a git revision, MODULE:CHART or REVISION@MODULE:CHART"


def _diff_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("old", metavar="OLD", help=_VERSION)
    command.add_argument("new", metavar="NEW", nargs="?", help="the same; default: the working tree")
    command.add_argument("--chart", action="append", metavar=_CHART, help=f"may be repeated; {_DEFAULT}")
    command.add_argument("--format", choices=comparison.FORMATS, default="md", help="default: md, for a pull request")


def _diff(options: argparse.Namespace) -> int:
    found = comparison.compare(options.old, options.new, options.chart)
    sys.stdout.write(comparison.FORMATS[options.format](found))
    return 1 if any(diff.changes for diff in found.diffs) else 0


def _table(options: argparse.Namespace) -> int:
    sys.stdout.write(page.transitions(_read(options.chart)) + "\n")
    return 0


def _grid(options: argparse.Namespace) -> int:
    sys.stdout.write(grid.render(_read(options.chart)))
    return 0


def _paths(options: argparse.Namespace) -> int:
    sys.stdout.write(routes.render(load.chart(options.chart)))
    return 0


_ONE = (
    ("table", _table, "the table of a chart's transitions, as Markdown"),
    ("grid", _grid, "what each state makes of each event, as Markdown"),
    ("paths", _paths, "a shortest way to each transition of a chart, as Markdown; none of its code runs"),
)


def _read(name: str) -> ChartModel:
    return model.read(load.chart(name))
