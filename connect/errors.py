"""What can go wrong, by whose fault: three families that never mix, and our own bugs.

*Misuse* raises at once and says what to change. *The peer's fault* and *a lost link* are retried for ever and reported as
events and log lines; before the first ACTIVE, what retrying cannot mend leaves `start()`. No message ever holds a key or a token.
"""


class ConnectError(Exception):
    """The base of everything this package raises."""


# -- misuse ------------------------------------------------------------------------------------------------------------------


class ConfigurationError(ConnectError, ValueError):
    """The caller asked for something that cannot work; the message says what to change."""


# -- the peer's fault --------------------------------------------------------------------------------------------------------


class PeerError(ConnectError):
    """The API or the gateway answered, and the answer is the trouble."""


class ProtocolError(PeerError):
    """An answer or a frame that the protocol does not allow here."""


class ApiError(PeerError):
    """The API answered with a status that is no success.

    `status` is the HTTP status.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class HandshakeTimeout(PeerError):  # noqa: N818 - the happening's name is the error's name
    """The peer kept silent in one stage of the handshake. `stage` is "start", "socket", "hello" or "ready"."""

    def __init__(self, message: str, stage: str) -> None:
        super().__init__(message)
        self.stage = stage


class GatewayDraining(PeerError):  # noqa: N818
    """The gateway refused the handshake because it is being drained; another one is to be had shortly."""


class SyncFailed(PeerError):  # noqa: N818
    """The server refused the functions; the same functions cannot succeed. `code` is the server's, often empty."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class AuthenticationFailed(PeerError):  # noqa: N818
    """No signing key was accepted."""


class ConnectionLimitReached(PeerError):  # noqa: N818
    """The account has as many connections as its plan allows (HTTP 429)."""


class TooManyApps(PeerError):  # noqa: N818
    """More apps on one connection than the plan allows (close reason `connect_too_many_apps_per_connection`)."""


# -- a lost link -------------------------------------------------------------------------------------------------------------


class LinkLost(ConnectError):  # noqa: N818
    """A link ended, or none could be made. `code` and `reason` are the close frame's; 1006 where there was none."""

    def __init__(self, message: str, code: int = 1006, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class ConnectTimeout(ConnectError, TimeoutError):  # noqa: N818
    """`connect_timeout` passed before the worker was ACTIVE for the first time; the last cause is chained."""


# -- ours --------------------------------------------------------------------------------------------------------------------


class InternalError(ConnectError):
    """A bug in this package: an action of a chart raised. The worker finished its work and stopped; the cause is chained."""
