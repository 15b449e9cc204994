"""Flags that do nothing without another one."""

from collections.abc import Mapping

import typer

from connect.errors import ConfigurationError


def check(ctx: typer.Context, needs: Mapping[str, str]) -> None:
    """Check the flags of a command, each given by the name of its parameter, with the one that it *needs*.

    `[tool.connect]` may set a flag for the times when the other one is on the command line: that is no mistake.
    Raises: ConfigurationError: a flag was typed, and the one that it needs is given nowhere.
    """
    for flag, other in needs.items():
        if _source(ctx, flag) == "COMMANDLINE" and _source(ctx, other) == "DEFAULT":
            typed, missing = _written(flag), _written(other)
            raise ConfigurationError(
                f"{typed} does nothing without {missing}: name {missing} too, or leave {typed} out"
            )


def _source(ctx: typer.Context, name: str) -> str:
    """Where the value comes from: COMMANDLINE, DEFAULT_MAP (the project's file), or DEFAULT."""
    source = ctx.get_parameter_source(name)
    return source.name if source else ""


def _written(name: str) -> str:
    return "MODULE:APPS" if name == "apps" else f"--{name.replace('_', '-')}"
