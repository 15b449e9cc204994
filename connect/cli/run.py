"""`run`: a production worker."""

import asyncio
import contextlib
import functools
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from connect.cli import companions, config, reloading, starting
from connect.cli.progress import Progress
from connect.cli.reloading import Reloading
from connect.cli.service_manager import ServiceManager
from connect.cli.source_files import SourceFiles
from connect.deadlines import ENDING_SECONDS
from connect.errors import ConfigurationError, ConnectError, InternalError
from connect.events import ReplyLost
from connect.execution.ending import Ending
from connect.log_format import Format, described, to_stderr
from connect.loops import signals
from connect.loops.loop import freeze_imported_objects, new_loop, run_until_done
from connect.redaction import logger
from connect.watching.http import address, is_loopback
from connect.worker import WorkerConnection, bound_end, connect, run_beside

Level = Literal["debug", "info", "warning", "error"]

PAGE: Final = "127.0.0.1:9090"
_NEEDS: Final = {"reload_timeout": "reload", "allow_remote": "http"}
"""Flags that do nothing without another one."""

log = logger("connect")


@config.takes()
def run(
    ctx: typer.Context,
    apps: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:APPS",
            help="Pairs of a client and a list of its functions, or a function that returns them; "
            "imported from the current directory.",
        ),
    ],
    app_dir: config.AppDir = None,
    env_file: config.EnvFile = None,
    reload: Annotated[
        bool,
        typer.Option(
            "--reload/--no-reload",
            help="Start again when a Python file, .env, or pyproject.toml changes; for development. Needs the extra reload.",
        ),
    ] = False,
    reload_timeout: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="With --reload: how long work in flight may go on before a restart; then it is cancelled.",
        ),
    ] = reloading.TIMEOUT,
    allow_remote: Annotated[
        bool,
        typer.Option(
            "--allow-remote", help="Let --http be an address that other machines reach, such as 0.0.0.0:9090."
        ),
    ] = False,
    log_level: Annotated[
        Level,
        typer.Option(
            metavar="LEVEL", help="The least that is logged: debug, info, warning or error.", case_sensitive=False
        ),
    ] = "info",
    log_format: Annotated[
        Format, typer.Option(help="text: for people; json: an object on each line.", case_sensitive=False)
    ] = "text",
    **given: Any,
) -> None:
    """Connect to Inngest and run the functions of MODULE:APPS until told to stop.

    INNGEST_DEV=http://… names a development server; without it,
    INNGEST_SIGNING_KEY (and INNGEST_SIGNING_KEY_FALLBACK) opens the cloud.

    SIGTERM or Ctrl-C: finish what is in flight, deliver every reply, exit 0.
    Again: cancel what is in flight, and still deliver. Exit 1: a reply is lost.
    """
    manager = ServiceManager.of_environment()
    companions.check(ctx, _NEEDS)
    if reload:
        _check_timeout(reload_timeout)
        others = [config.FILE, Path(".env"), *([env_file] if env_file else [])]
        files = SourceFiles(app_dir or Path(), others)
        asked = Reloading(files=files, timeout=reload_timeout, log_level=log_level, log_format=log_format)
        raise typer.Exit(reloading.run(asked, manager))
    reloading.end_with_watcher()
    config.prepare(app_dir, env_file)
    options = {**config.as_options(given), "shutdown_signals": signals.of_command()}
    if options["status_page"]:
        options["http"] = options["http"] or PAGE
    _check_address(options["http"], allow_remote=allow_remote)
    with _explained(log_level):
        worker = connect(apps, **options)
    signals.ignore_broken_pipes()
    if options["traces"]:
        from connect.execution import otel_spans  # needs the extra `otel`

        otel_spans.export()
    to_stderr(log_level, log_format)
    freeze_imported_objects()
    raise typer.Exit(_run(worker, ctx.obj, manager))


@contextlib.contextmanager
def _explained(level: Level) -> Iterator[None]:
    """At level debug, print the traceback of what the user's module raised. `main` prints one line in any case."""
    try:
        yield
    except ConfigurationError as error:
        if level == "debug" and error.__cause__:
            traceback.print_exception(error.__cause__)
        raise


def _check_timeout(seconds: float) -> None:
    if not seconds >= 0:
        raise ConfigurationError(f"reload_timeout is {seconds:g}: it must not be negative", "reload_timeout")


def _check_address(http: str | None, *, allow_remote: bool) -> None:
    """Raises: ConfigurationError: other machines could read what is served at *http*, and the user has not allowed that."""
    if http and not allow_remote and not is_loopback(address(http)[0]):
        problem = f"http {http} shows ids and errors to other machines"
        raise ConfigurationError(f"{problem}: pass --allow-remote too, or a loopback address", "http")


def _run(worker: WorkerConnection, ending: Ending, manager: ServiceManager) -> int:
    """Run *worker* until it has ended, also where user code stops the loop. Returns the exit code."""
    loop = new_loop()
    starting.hand_over(lambda _: _close_soon(loop, worker))
    bound_end(worker, lambda seconds: ending.within(seconds, 1))
    run_beside(worker, functools.partial(manager.follows, worker))
    stopped: list[BaseException] = []

    def note_stopped(error: BaseException) -> None:
        stopped.append(error)
        log.error("user code stopped the event loop: the worker finishes its work, then ends: %s", described(error))
        loop.create_task(worker.close())

    with asyncio.Runner(loop_factory=lambda: loop):
        code = run_until_done(loop, _live(worker, ending), note_stopped)
        code = 1 if stopped else code
        ending.within(ENDING_SECONDS, code)  # closing the loop waits for the tasks and threads that user code has left
    return code


def _close_soon(loop: asyncio.AbstractEventLoop, worker: WorkerConnection) -> None:
    """Close *worker* at a signal that comes before it handles signals itself, or after."""
    with contextlib.suppress(RuntimeError):  # the loop is closed: the worker has ended
        loop.call_soon_threadsafe(lambda: loop.create_task(worker.close()))


async def _live(worker: WorkerConnection, ending: Ending) -> int:
    """Run *worker* until it has ended. Returns the exit code."""
    lost: list[str] = []
    worker.on(ReplyLost, lambda event: lost.append(event.request_id) if worker.is_closing else None)
    progress = Progress(worker)
    code = 0
    try:
        await worker.start()
        code = _say_how_it_ended(worker, lost)
    except ConfigurationError:  # a process of the pool cannot import the apps
        raise
    except ConnectError as error:
        code = 1
        log.error("stopped: %s", _chain(error), exc_info=error if isinstance(error, InternalError) else None)  # noqa: TRY400
    finally:
        progress.end()
    stuck = worker.stuck()
    if stuck:
        log.warning(
            "%d cancelled executions still run, and cannot be stopped; the process ends without waiting for them: %s",
            len(stuck),
            ", ".join(stuck),
        )
        ending.now(code)
    return code


def _say_how_it_ended(worker: WorkerConnection, lost: Sequence[str]) -> int:
    """Log the last line of *worker*, whose replies to *lost* were not delivered. Returns the exit code."""
    told = len(set(worker.cancelled()) - set(lost))
    if lost:
        cancelled = f"; executions cancelled, and the server told: {told}" if told else ""
        log.error("stopped; requests without a reply: %s%s", ", ".join(lost), cancelled)
    elif told:
        log.warning("stopped; executions cancelled: %d; the server was told of each, and may try it again", told)
    else:
        log.info("stopped gracefully")
    return 1 if lost else 0


def _chain(error: BaseException) -> str:
    """*error* and its causes, on one line."""
    cause = f" (cause: {_chain(error.__cause__)})" if error.__cause__ else ""
    return described(error) + cause
