"""Which worker this is, as frozen data. It holds no secret."""

from dataclasses import dataclass


@dataclass(frozen=True)
class AppInfo:
    """An app of this worker, with the ids of its functions as requests name them, those of `on_failure` too."""

    app_id: str
    version: str | None
    functions: tuple[str, ...]


@dataclass(frozen=True)
class WorkerInfo:
    """Which worker this is: nothing of it changes while it runs.

    `api` is the server's address; `mode` is "cloud" or "dev"; `started_at` is Unix time in seconds. `version` is this package's,
    `sdk_version` that of `inngest`.
    """

    instance_id: str
    host: str
    pid: int
    apps: tuple[AppInfo, ...]
    api: str
    mode: str
    env: str | None
    isolation: str
    version: str
    sdk_version: str
    python_version: str
    aiohttp_version: str
    started_at: float
