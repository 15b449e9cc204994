"""`run`: a production worker."""

import asyncio
import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, Literal, NoReturn

import typer

from connect import logs
from connect.cli import config, reloading
from connect.cli.waits import Waits
from connect.errors import ConfigurationError, ConnectError, InternalError
from connect.events import ReplyLost
from connect.loops.loop import new_loop, spare_the_collector
from connect.options import Isolation
from connect.requests import OnLeaseLost
from connect.watching.http import address, is_loopback
from connect.worker import WorkerConnection, connect

Level = Literal["debug", "info", "warning", "error"]

PAGE: Final = "127.0.0.1:9090"

log = logging.getLogger("connect")


def run(
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
            help="Start again when a Python file changes; for development. Needs the extra reload.",
        ),
    ] = False,
    instance_id: Annotated[
        str | None, typer.Option(help="Identifies this process to the server; default: the host's name.")
    ] = None,
    max_concurrency: Annotated[
        int | None, typer.Option(help="Executions that the server may hand to this worker at once; 0: no limit.")
    ] = None,
    connect_timeout: Annotated[
        float | None, typer.Option(help="Seconds for the first connection; default: try for ever.")
    ] = None,
    shutdown_timeout: Annotated[
        float | None,
        typer.Option(help="Seconds for work in flight to finish at shutdown; default: as long as it takes."),
    ] = None,
    flush_timeout: Annotated[
        float,
        typer.Option(
            help="Seconds to deliver the last replies once work has ended, and for a cancelled function to end: "
            "a sync one, on its thread, cannot be stopped. What is left then is lost."
        ),
    ] = 60.0,
    api_base_url: config.ApiBaseUrl = None,
    gateway_url: config.GatewayUrl = None,
    env: config.Env = None,
    isolation: Annotated[
        Isolation,
        typer.Option(
            help="thread: user code cannot delay a heartbeat; none: one loop for everything; "
            "process: functions run in several processes, behind one connection."
        ),
    ] = "thread",
    processes: Annotated[
        int | None, typer.Option(help="How many, with --isolation process; default: one for each core.")
    ] = None,
    recycle_after: Annotated[
        int | None, typer.Option(help="Executions after which a process is replaced by a fresh one; default: never.")
    ] = None,
    on_lease_lost: Annotated[
        OnLeaseLost, typer.Option(help="What becomes of an execution that the server took away.")
    ] = "cancel",
    http: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Serve /livez, /readyz, /status and /metrics there; beyond loopback with --allow-remote.",
        ),
    ] = None,
    status_page: Annotated[
        bool, typer.Option("--status-page", help="Serve the live page, read-only, at --http; default 127.0.0.1:9090.")
    ] = False,
    allow_remote: Annotated[
        bool,
        typer.Option("--allow-remote", help="Let --http be an address that other machines reach, as 0.0.0.0:9090."),
    ] = False,
    traces: Annotated[
        bool,
        typer.Option("--traces", help="Send OpenTelemetry spans to OTEL_EXPORTER_OTLP_ENDPOINT; needs the extra otel."),
    ] = False,
    log_level: Annotated[Level, typer.Option(help="The least that is logged.", case_sensitive=False)] = "info",
    log_format: Annotated[
        logs.Format, typer.Option(help="text: for people; json: an object on each line.", case_sensitive=False)
    ] = "text",
) -> None:
    """Connect to Inngest and run the functions of MODULE:APPS until told to stop.

    INNGEST_DEV=http://… names a development server; without it,
    INNGEST_SIGNING_KEY (and INNGEST_SIGNING_KEY_FALLBACK) opens the cloud.

    SIGTERM or Ctrl-C: finish what is in flight, deliver every reply, exit 0.
    Again: cancel what is in flight, and still deliver. Exit 1: a reply is lost.
    """
    if reload:
        raise typer.Exit(reloading.run(app_dir or Path()))
    reloading.end_with_watcher()
    config.prepare(app_dir, env_file)
    with _explained(log_level):
        worker = connect(
            apps,
            instance_id=instance_id,
            max_worker_concurrency=max_concurrency,
            connect_timeout=connect_timeout,
            shutdown_timeout=shutdown_timeout,
            flush_timeout=flush_timeout,
            api_base_url=api_base_url,
            gateway_url=gateway_url,
            env=env,
            isolation=isolation,
            processes=processes,
            recycle_after=recycle_after,
            on_lease_lost=on_lease_lost,
            http=_address(http or (PAGE if status_page else None), allow_remote=allow_remote),
            status_page=status_page,
            traces=traces,
        )
    if traces:
        from connect.watching import tracing  # needs what not everybody has installed

        tracing.export()
    logs.to_stderr(log_level, log_format)
    spare_the_collector()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        raise typer.Exit(runner.run(_live(worker)))


@contextmanager
def _explained(level: Level) -> Iterator[None]:
    """At debug, what the user's own module raised is shown whole; else the one line of `main` has to do."""
    try:
        yield
    except ConfigurationError as error:
        if level == "debug" and error.__cause__:
            traceback.print_exception(error.__cause__)
        raise


def _address(http: str | None, *, allow_remote: bool) -> str | None:
    """Where to serve. Raises: ConfigurationError: other machines could read it, and nobody said that they may."""
    if http and not allow_remote and not is_loopback(address(http)[0]):
        told = f"--http {http} shows ids and errors to other machines"
        raise ConfigurationError(f"{told}: pass --allow-remote too, or a loopback address")
    return http


async def _live(worker: WorkerConnection) -> int:
    """The worker's whole life; returns the exit code."""
    lost: list[str] = []
    worker.on(ReplyLost, lambda event: lost.append(event.request_id) if worker.is_closing else None)
    waits = Waits(worker)
    code = 0
    try:
        await worker.start()
        if lost:
            code = 1
            log.error("stopped; requests without a reply: %s", ", ".join(lost))
        else:
            log.info("stopped gracefully")
    except ConfigurationError:  # of the processes: one cannot import the apps
        raise
    except ConnectError as error:
        code = 1
        log.error("stopped: %s", _told(error), exc_info=error if isinstance(error, InternalError) else None)  # noqa: TRY400
    finally:
        waits.end()
    stuck = worker.stuck()
    if stuck:
        log.warning(
            "%d cancelled executions still run, and nothing can stop them; the process ends without them: %s",
            len(stuck),
            ", ".join(stuck),
        )
        _end_now(code)
    return code


def _told(error: BaseException) -> str:
    """*error* and what caused it, on one line."""
    cause = f" (cause: {_told(error.__cause__)})" if error.__cause__ else ""
    return f"{type(error).__name__}: {error}{cause}"


def _end_now(code: int) -> NoReturn:
    """Do not wait for threads, as the interpreter would."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
