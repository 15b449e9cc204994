"""Where the value of a parameter comes from: an error names the flag, or the file of the project and the name in it."""

from typing import Any, Final

import typer
import typer.core

from connect.cli import config
from connect.cli.project_table import Table
from connect.errors import ConfigurationError
from connect.options import declared

_TABLE: Final = "statechart-connect.table"


def use(ctx: typer.Context, command: str, table: Table, known: set[str]) -> None:
    """Let the *command*, which has the *known* parameters, take from the *table* what the command line does not give."""
    ctx.default_map = {command: {name: value for name, value in table.values.items() if name in known}}
    ctx.meta[_TABLE] = table


class Command(typer.core.TyperCommand):
    """A command. What is wrong with a value is said of the place where the value stands. One that is not used is not checked."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typer's. Raises: ConfigurationError: a value of the project's table is wrong."""
        try:
            left = super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = error.message.removeprefix("Value error, ")
            name = getattr(error.param, "name", None)
            if name is None or not _is_of_table(ctx, name):
                raise
            _table(ctx).check(name)
            raise ConfigurationError(f"{_table(ctx).place(name)}: {error.message.rstrip('.')}") from None
        for name in ctx.params:
            if _is_of_table(ctx, name):
                _table(ctx).check(name)
        return left

    def invoke(self, ctx: Any) -> Any:
        """As typer's. Raises: ConfigurationError: an option of `connect()` is wrong; the message names where it stands."""
        try:
            return super().invoke(ctx)
        except ConfigurationError as error:
            if not error.option:
                raise
            raise ConfigurationError(_placed(ctx, str(error), error.option), error.option) from error.__cause__


def _placed(ctx: Any, message: str, option: str) -> str:
    flags = {each.name: each.option.flag.partition("/")[0] for each in declared() if each.option.flag}
    flag = flags.get(option, f"--{option.replace('_', '-')}")
    name = config.parameter(flag)
    if _is_of_table(ctx, name):
        place = _table(ctx).place(name)
        return f"{place}: {message}" if option == "apps" else place + message.removeprefix(option)
    return message if option == "apps" else flag + message.removeprefix(option)


def _is_of_table(ctx: Any, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "DEFAULT_MAP"


def _table(ctx: Any) -> Table:
    table: Table = ctx.meta[_TABLE]
    return table
