"""`doctor`: why a worker cannot connect."""

import asyncio
import contextlib
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

from connect.cli import companions, config, starting
from connect.doctor import CHECKS, Arguments, Examination, scrubbed
from connect.doctor.environment import secrets
from connect.doctor.report import Json, Lines, Report, Screen, Verdict
from connect.errors import ConfigurationError
from connect.execution.app_lookup import find


@config.takes("api_base_url", "gateway_url", "insecure_gateway", "env", "proxy")
def doctor(
    ctx: typer.Context,
    apps: Annotated[
        str | None,
        typer.Argument(metavar="[MODULE:APPS]", help="As for run; default: the environment alone.", show_default=False),
    ] = None,
    app_dir: config.AppDir = None,
    env_file: config.EnvFile = None,
    register: Annotated[
        bool,
        typer.Option(
            "--register",
            help="Go on to register MODULE:APPS: this syncs its functions, as the start of a worker does. "
            "No work is taken.",
        ),
    ] = False,
    timeout: Annotated[float, typer.Option(help="Seconds for each check.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of lines.")] = False,
    **given: Any,
) -> None:
    """Find out why a worker cannot connect, without sending or taking work.

    It takes a worker's steps to the gateway, and says what is wrong and what to
    do next. Without --register it stops after the gateway's hello: it registers
    nothing, and reserves nothing. It never shows a key.

    Exit 0: all well. 1: something is wrong. 2: misuse.
    """
    companions.check(ctx, {"register": "apps", "app_dir": "apps"})
    config.prepare(app_dir, env_file)
    arguments = Arguments(
        apps=_found(apps),
        register=register,
        timeout=_positive(timeout),
        **config.as_options(given),
    )
    starting.interrupt()
    raise typer.Exit(asyncio.run(_examine(arguments, _report(as_json=as_json))).exit_code)


def _found(apps: str | None) -> Any:
    """The user's apps; None without MODULE:APPS. What their module prints goes to stderr: stdout is the report's."""
    if apps is None:
        return None
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return find(apps)
    except ConfigurationError as error:
        raise ConfigurationError(scrubbed(str(error), secrets())) from None


def _positive(timeout: float) -> float:
    if not 0 < timeout <= 3600:
        raise ConfigurationError(f"--timeout is {timeout:g}: it must be more than 0, and at most 3600 seconds")
    return timeout


def _report(*, as_json: bool) -> Report:
    if as_json:
        return Json(sys.stdout)
    return Screen(Console()) if sys.stdout.isatty() else Lines(sys.stdout)


async def _examine(arguments: Arguments, report: Report) -> Verdict:
    findings = []
    async with Examination(arguments) as examination:
        for check in CHECKS:
            with report.checking(check.name):
                findings.append(await examination.check(check))
            report.add(findings[-1])
    verdict = Verdict(findings)
    report.end(verdict)
    return verdict
