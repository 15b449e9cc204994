"""The command: `python -m connect`, or `statechart-connect`.

Exit codes: 0 ended gracefully; 1 an error that only the server or its operator can mend (`connect.errors`), or a demo that
lost something; 2 misuse, with one line that says what to change.
"""

import importlib.metadata
import io
import sys
from typing import Annotated, NoReturn

import typer

from connect.cli.demo import demo
from connect.cli.gateway import gateway
from connect.cli.lab import lab
from connect.cli.run import run
from connect.errors import ConfigurationError

app = typer.Typer(
    help="An Inngest Connect worker whose whole lifecycle is declared as statecharts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command(epilog="Example: INNGEST_DEV=http://127.0.0.1:8288 python -m connect run main:apps")(run)
app.command(epilog="Example: python -m connect demo")(demo)
app.command(epilog="Example: python -m connect lab main:apps")(lab)
app.command(epilog="Example: python -m connect gateway --port 8288 --heartbeat 1s")(gateway)


def main() -> NoReturn:
    """Run the command that the arguments name, and end the process with its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    try:
        sys.exit(app())
    except ConfigurationError as error:
        typer.echo(f"statechart-connect: {' '.join(str(error).split())}", err=True)
        sys.exit(2)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"statechart-connect {importlib.metadata.version('statechart-connect')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass
