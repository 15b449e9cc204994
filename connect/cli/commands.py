"""The command: `python -m connect`, or `statechart-connect`.

Exit codes: 0: it ended gracefully; 1: the worker could not connect, met a bug, or lost a reply, or the command could not write
its output; 2: misuse, with one line that says what to change.
"""

import importlib.metadata
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final, NoReturn

import typer

from connect import command_name
from connect.cli import config, sources, starting, streams
from connect.cli.project_table import Table
from connect.errors import ConfigurationError
from connect.execution.ending import Ending
from connect.log_format import one_line
from connect.loops.quick_import import quickly


def _usage_error() -> Any:
    """The exception class of all misuse, from typer or the click that it brings. If it cannot be found: one kind of misuse."""
    base = typer.BadParameter.__base__
    return base if hasattr(base, "format_message") else typer.BadParameter


_UsageError: Final = _usage_error()
_COMPLETE: Final = "_STATECHART_CONNECT_COMPLETE"
"""The environment variable with which a shell asks for completions."""

_EXAMPLES: Final = {
    "run": "INNGEST_DEV=http://127.0.0.1:8288 {} run main:apps",
    "demo": "{} demo",
    "lab": "{} lab main:apps",
    "doctor": "{} doctor main:apps --register",
    "gateway": "{} gateway --port 8288 --heartbeat 1s",
}
"""The commands, each with an example for its help; `{}` is what the user calls this program. Each is a module of this folder with a
function of the same name."""


def assembled(arguments: Sequence[str]) -> typer.Typer:
    """The command line with the command that *arguments* name, or with all commands if they name none.

    Only the commands in it are imported: `run` does not load what draws the demo.
    """
    app = typer.Typer(
        help="An Inngest Connect worker whose whole lifecycle is declared as statecharts.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    app.callback()(_options)
    named = _named(arguments)
    for name in [named] if named in _EXAMPLES else _EXAMPLES:
        example = _EXAMPLES[name].format(command_name.typed())
        app.command(cls=sources.Command, epilog=f"Example: {example}")(_command(name))
    return app


def _named(arguments: Sequence[str]) -> str | None:
    return next((argument for argument in arguments if not argument.startswith("-")), None)


def _command(name: str) -> Callable[..., None]:
    function: Callable[..., None] = getattr(quickly(f"connect.cli.{name}"), name)
    return function


def main() -> NoReturn:
    """Run the command that the arguments name, and end the process with its exit code, at most `ending.SECONDS` later."""
    streams.open_closed()
    with Ending() as ending:
        sys.exit(_run(ending))


def _run(ending: Ending) -> int:
    """Run the command. Returns its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        code = assembled(sys.argv[1:])(standalone_mode=False, prog_name=_called(), obj=ending) or 0
        if _named(sys.argv[1:]) != "run":  # what a worker writes to standard output is user code's
            sys.stdout.flush()
    except OSError as error:
        if not streams.is_unwritable(error):
            raise
        streams.report_unwritable(error)
        return 1
    except ConfigurationError as error:
        problem = str(error)
    except _UsageError as error:
        said = getattr(error, "format_message", error.__str__)()
        if not said:  # the help was shown instead
            return 2
        problem = f"{said} (see --help)"
    except typer.Abort:  # Ctrl-C before there was anything to end gracefully
        return starting.interrupted()
    else:
        return code
    streams.report(one_line(problem))
    return 2


def _called() -> str | None:
    """The command's name in its help; None: as it was called. For completions it is the installed name, which shells know."""
    by_shell = {"--show-completion", "--install-completion"} & set(sys.argv) or _COMPLETE in os.environ
    return command_name.SCRIPT if by_shell else None


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"statechart-connect {importlib.metadata.version('statechart-connect')}")
        raise typer.Exit


def _options(
    ctx: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    command = ctx.invoked_subcommand
    if command not in ("run", "doctor") or set(ctx.help_option_names) & set(sys.argv):
        return  # neither the other commands nor the help read the table: a wrong one must not stop them
    table = Table.read(config.kinds(_command("run")))
    sources.use(ctx, command, table, set(config.kinds(_command(command))))
