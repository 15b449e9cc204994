"""The user's tenacity policy: whether a worker can use it, and how it sleeps."""

import importlib.metadata
from collections.abc import Awaitable, Callable

import tenacity

from connect.errors import ConfigurationError


def check(retry: tenacity.AsyncRetrying) -> None:
    """Raises: ConfigurationError: *retry* is none that a worker can use; the message says why."""
    if not isinstance(retry, tenacity.AsyncRetrying):
        kind = type(retry).__name__
        why = ", which blocks the event loop while it waits" if isinstance(retry, tenacity.Retrying) else ""
        raise ConfigurationError(f"retry is a {kind}{why}: pass a tenacity.AsyncRetrying")
    if unknown := [name for name in ("sleep", "stop", "wait") if not hasattr(retry, name)]:
        installed = importlib.metadata.version("tenacity")
        raise ConfigurationError(
            f"retry: a policy of tenacity {installed} has no {', '.join(unknown)}: leave retry out"
        )
    if retry.stop is not tenacity.stop_never:
        raise ConfigurationError(
            "retry has a stop condition, but a worker never gives up: leave `stop` out of the policy"
        )


def sleep_of(retry: tenacity.AsyncRetrying) -> Callable[[float], Awaitable[None]]:
    """How *retry* sleeps, as something to await; its own `sleep` may be a plain function."""

    async def sleep(seconds: float) -> None:
        waited = retry.sleep(seconds)
        if waited is not None:
            await waited

    return sleep
