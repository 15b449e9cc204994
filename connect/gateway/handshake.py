"""The test gateway checks WORKER_CONNECT: the server's checks, in its order, with its close codes (PROTOCOL.md §4.1)."""

import json
import secrets
import time
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import DecodeError

from connect.gateway.newest import Newest
from connect.gateway.run import synced_function
from connect.gateway.settings import Settings
from connect.wire import AppConfiguration, WorkerConnectRequestData, ulid
from connect.wire import SystemError as SyncError

SESSIONS: Final = 10_000
"""Session tokens that are valid at a time: the newest."""
_SIZE: Final = 500
"""Bytes that a session holds."""

INVALID_MESSAGE = "connect_worker_hello_invalid_msg"
INVALID_PAYLOAD = "connect_worker_hello_invalid_payload"
INTERNAL_ERROR = "connect_internal_error"


class Refused(Exception):  # noqa: N818 - a decision, not a failure
    """The gateway closes with this code and reason. If there is a `sync_error`, it sends SYNC_FAILED first."""

    def __init__(self, code: int, reason: str, sync_error: SyncError | None = None) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason
        self.sync_error = sync_error


@dataclass(frozen=True, slots=True)
class Session:
    """The connection id and gateway group for which a session token was issued. `expires`: monotonic seconds."""

    connection_id: str
    group: str
    expires: float


class Sessions:
    """The newest session tokens of answers to start requests. A token fits any connection id and any number of handshakes."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sessions: Newest[str, Session] = Newest(SESSIONS, SESSIONS * _SIZE)

    def open(self, connection_id: str, group: str) -> str:
        """Issue a new token."""
        token = secrets.token_urlsafe(32)
        session = Session(connection_id, group, time.monotonic() + self._settings.session_lifetime)
        self._sessions.add(token, session, _SIZE)
        return token

    def valid(self, token: str) -> Session | None:
        """The session of *token*; None if it is unknown or expired."""
        session = self._sessions.get(token)
        return session if session and session.expires > time.monotonic() else None


@dataclass(frozen=True, slots=True)
class Registration:
    """A WORKER_CONNECT that passed the checks: the worker, its gateway group, its function configurations by app name."""

    worker: WorkerConnectRequestData
    group: str
    functions: dict[str, list[dict[str, Any]]]


def check_worker_connect(payload: bytes, sessions: Sessions, apps_limit: int) -> Registration:
    """Check a WORKER_CONNECT payload. Raises: Refused."""
    worker = _decoded(payload)
    if not ulid.is_ulid(worker.connection_id) or not worker.instance_id:
        raise Refused(1008, INVALID_PAYLOAD)
    session = sessions.valid(worker.auth_data.session_token)
    if session is None:
        raise Refused(1008, "connect_authentication_failed")
    if not worker.apps:
        raise Refused(1008, INVALID_PAYLOAD)
    if len(worker.apps) > apps_limit:
        raise Refused(1008, "connect_too_many_apps_per_connection")
    functions = {app.app_name: _functions(app) for app in worker.apps}
    _json(worker.capabilities, dict)
    for app_name, configs in functions.items():
        _synced(app_name, configs)
        _check_types(app_name, configs)
    return Registration(worker, session.group, functions)


def _decoded(payload: bytes) -> WorkerConnectRequestData:
    try:
        return WorkerConnectRequestData.FromString(payload)
    except DecodeError:
        raise Refused(1008, INVALID_PAYLOAD) from None


def _functions(app: AppConfiguration) -> list[dict[str, Any]]:
    configs: list[dict[str, Any]] = _json(app.functions, list)
    if not all(isinstance(config, dict) for config in configs):
        raise Refused(1011, INTERNAL_ERROR)
    return configs


def _json(text: bytes, shape: type) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise Refused(1011, INTERNAL_ERROR) from None
    if not isinstance(value, shape):
        raise Refused(1011, INTERNAL_ERROR)
    return value


def _synced(app_name: str, configs: list[dict[str, Any]]) -> None:
    if not app_name:
        raise Refused(1008, "", SyncError(message="App ID required"))
    if not all(isinstance(config.get("id"), str) and config["id"] for config in configs):
        raise Refused(1008, "", SyncError(message="At least one function is invalid"))


def _check_types(app_name: str, configs: list[dict[str, Any]]) -> None:
    try:
        for config in configs:
            synced_function(app_name, config)
    except (AttributeError, LookupError, TypeError):
        raise Refused(1011, INTERNAL_ERROR) from None
