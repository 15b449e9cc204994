"""Which worker this is: what its status, its metrics and its first log line say of it. It holds no secret."""

import functools
import importlib.metadata
import os
import platform
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import aiohttp

from connect.configuration import Configuration
from connect.execution import Executor
from connect.execution.load import Load, Loaded
from connect.redaction import logger, peer_text
from connect.secrets import without_passwords
from connect.worker_info import WorkerInfo

if TYPE_CHECKING:
    from connect.status import Status

log = logger("connect")


def identity(known: Configuration) -> WorkerInfo:
    """What *known* says of this worker, and of the process that it runs in."""
    registration = known.registration
    return WorkerInfo(
        instance_id=peer_text(registration.instance_id),
        host=socket.gethostname(),
        pid=os.getpid(),
        apps=known.apps.infos,
        api=peer_text(without_passwords(known.origin)),
        mode="cloud" if known.apps.is_cloud else "dev",
        env=peer_text(known.env) if known.env else None,
        isolation=known.options.isolation,
        version=_version(),
        sdk_version=registration.sdk_version,
        python_version=platform.python_version(),
        aiohttp_version=aiohttp.__version__,
        started_at=registration.started_at,
    )


def log_start(known: Configuration) -> None:
    """Say which worker starts."""
    info = identity(known)
    log.info(
        "worker %s starts: inngest %s, API at %s%s; apps: %s; functions: %d; connect %s, Python %s, pid %d, isolation %s",
        info.instance_id,
        info.sdk_version,
        info.api,
        f", environment {info.env}" if info.env else "",
        ", ".join(f"{app.app_id} {app.version or ''}".rstrip() for app in info.apps),
        sum(len(app.functions) for app in info.apps),
        info.version,
        info.python_version,
        info.pid,
        info.isolation,
    )


def completed(status: "Status", info: WorkerInfo, executor: Executor | None) -> "Status":
    """*status* of a connection, with what the worker around it knows."""
    load = executor.load if isinstance(executor, Loaded) else Load()
    return replace(status, worker=info, uptime=max(0.0, time.time() - info.started_at), **vars(load))


@functools.cache
def _version() -> str:
    try:
        return importlib.metadata.version("statechart-connect")
    except importlib.metadata.PackageNotFoundError:  # a copy of the sources that was never installed
        return "unknown"
