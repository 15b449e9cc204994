"""The errors of this package. No message contains a key or a token.

*Misuse* (`ConfigurationError`) is raised at once; its message says what to change. *The peer's fault* (`PeerError`) and *a lost
link* (`LinkLost`) are retried for ever, and reported as events and log lines; before the first ACTIVE, those that a retry cannot
cure leave `start()`. `InternalError` is a bug of this package.
"""


class ConnectError(Exception):
    """The base of all errors of this package."""

    retry_after: float | None = None
    """Seconds that the peer asked to wait before the next attempt; None: it asked for nothing."""


# -- misuse ------------------------------------------------------------------------------------------------------------------


class ConfigurationError(ConnectError, ValueError):
    """Options, apps or a call that cannot work; the message says what to change.

    `option` is the argument of `connect()`, or of the command, whose value is wrong; "": it is none, or several. The message begins
    with it, unless it is `apps`.
    """

    def __init__(self, message: str, option: str = "") -> None:
        super().__init__(message)
        self.option = option


# -- the peer's fault --------------------------------------------------------------------------------------------------------


class PeerError(ConnectError):
    """The API or the gateway answered with an error or nonsense, or did not answer in time."""


class ProtocolError(PeerError):
    """An answer or a frame that the protocol does not allow here."""


class ApiError(PeerError):
    """The API answered with a status other than 200. `status` is the HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class HandshakeTimeout(PeerError):  # noqa: N818 - errors are named for what happened
    """The peer did not answer in time. `stage`: "start", "socket", "hello" or "ready" of the handshake, or "flush".

    `reached`: False where not even a TCP connection came about in that time.
    """

    def __init__(self, message: str, stage: str, *, reached: bool = True) -> None:
        super().__init__(message)
        self.stage = stage
        self.reached = reached


class GatewayDraining(PeerError):  # noqa: N818
    """The gateway refused the handshake, or closed the link, because it is being drained. The API soon offers another."""


class SyncFailed(PeerError):  # noqa: N818
    """The server refused the functions: change them. `code` is the server's, often empty."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class AuthenticationFailed(PeerError):  # noqa: N818
    """The API refused the signing key (HTTP 401)."""


class ConnectionLimitReached(PeerError):  # noqa: N818
    """The account has as many connections as its plan allows (HTTP 429)."""


class TooManyApps(PeerError):  # noqa: N818
    """More apps on one connection than the account's plan allows (close reason `connect_too_many_apps_per_connection`)."""


# -- a lost link -------------------------------------------------------------------------------------------------------------


class LinkLost(ConnectError):  # noqa: N818
    """A link ended, or none could be made. `code` and `reason` are those of the close frame; without one, 1006 and ""."""

    def __init__(self, message: str, code: int = 1006, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class ServerUnreachable(LinkLost):
    """No connection to the server came about: an unknown name, no route, nothing that listens at the port, or a proxy says so.

    It cost the server nothing.
    """


class ConnectTimeout(ConnectError, TimeoutError):  # noqa: N818
    """The worker was not ACTIVE within `connect_timeout` seconds. The last error is chained."""


# -- bugs of this package ----------------------------------------------------------------------------------------------------


class InternalError(ConnectError):
    """A bug in this package. The worker finished its work and stopped; the exception that was raised is chained."""
