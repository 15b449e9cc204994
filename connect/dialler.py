"""Dialling: one loop that tries until a link is ready.

Every state of the connection chart that needs a link calls `dial`, which starts the loop unless it runs. The loop outlives those
states; it ends when a link is ready, or with the worker. Tenacity runs it: its wait is `Backoff`, its before-sleep hook notes the
failure and excludes that gateway's group (docs/decisions/never-give-up.md).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import tenacity

from connect.backoff import Backoff
from connect.deadlines import Deadlines
from connect.errors import AuthenticationFailed, HandshakeTimeout, SyncFailed, TooManyApps
from connect.excluded_gateways import ExcludedGateways
from connect.link import Link
from connect.link_owner import Dial
from connect.redaction import logger
from connect.secrets import Keyring

log = logger("connect")


class DialOwner(Protocol):
    """What the dialler tells of its attempts."""

    def dial_failed(self, attempt: int, delay: float, error: Exception, cause: str) -> None:
        """*cause*: what decided *delay*, the seconds until the next attempt; "": nothing that a log line need say."""

    def dial_rejected(self, error: Exception) -> None: ...
    def dial_broken(self, error: Exception) -> None: ...


class _NotBegun(Exception):  # noqa: N818 - the happening's name
    """A link could not even be made or started, for *error*: a bug, which another attempt would meet again."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Dialler:
    """Makes one link at a time. On the connection's loop only."""

    def __init__(
        self,
        owner: DialOwner,
        make: Callable[[Dial], Link],
        backoff: Backoff,
        keyring: Keyring,
        deadlines: Deadlines,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._owner = owner
        self._make = make
        self._backoff = backoff
        self._keyring = keyring
        self._deadlines = deadlines
        self._sleep = sleep
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._outcome: asyncio.Future[None] | None = None
        self._ready_seconds = deadlines.ready
        self._ever_ready = False
        self.link: Link | None = None
        self._excluded = ExcludedGateways()
        self.attempts = 0
        self._first_at = 0.0
        self.retry_at: float | None = None
        self.last_error: Exception | None = None

    @property
    def dialling(self) -> bool:
        """Whether a dial loop runs."""
        return self._task is not None and not self._task.done()

    def dial(self, cause: Exception | None = None) -> None:
        """Start the dial loop unless it runs; *cause* is the loss that made it necessary, if one did."""
        if not self.dialling:
            self.attempts = 0
            self._task = self._loop.create_task(self._dial(cause), name="dial")

    @property
    def excluded(self) -> frozenset[str]:
        """The gateway groups that the next start request asks to avoid. From any thread."""
        return self._excluded.groups

    def exclude(self, link: Link) -> None:
        """Ask for another gateway group than this link's, until a link is ready."""
        self._excluded.add(link.group)

    def granted(self, link: Link) -> None:
        """The start request of *link* was granted: the API is well."""
        if link is self.link:
            self._backoff.granted()

    def ready(self, link: Link) -> bool:
        """*link* is ready. False: it is not the link that is being made, and must be closed."""
        if link is not self.link or self._outcome is None:
            return False
        self._ever_ready = True
        if self.attempts > 1:
            seconds = self._loop.time() - self._first_at
            log.info("attempt %d to connect succeeded, %.1f s after the first", self.attempts, seconds)
        self._ready_seconds = self._deadlines.ready
        self._excluded.clear()
        self.last_error = None
        self._backoff.link_ready(self._loop.time())
        self._outcome.set_result(None)
        self.link, self._outcome, self._task = None, None, None
        return True

    def failed(self, link: Link, error: Exception) -> None:
        """The handshake of *link* failed."""
        if link is self.link and self._outcome:
            self._outcome.set_exception(error)

    def stop(self) -> None:
        """Make no further attempt. The caller closes the link that is being made."""
        if self._task:
            self._task.cancel()

    async def wait_stopped(self) -> None:
        """Wait until the dial loop has ended."""
        if self._task:
            await asyncio.wait([self._task])

    async def _dial(self, cause: Exception | None) -> None:
        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(self._worth_retrying),
            wait=self._backoff,
            sleep=self._wait,
            before_sleep=self._note_failure,
            reraise=True,
        )
        try:
            await self._wait(self._backoff.before_dialling(cause, self._loop.time()))
            await retrying(self._attempt)
        except _NotBegun as broken:
            self._owner.dial_broken(broken.error)
        except Exception as error:
            self.last_error = error
            (self._owner.dial_broken if self._worth_retrying(error) else self._owner.dial_rejected)(error)

    async def _attempt(self) -> None:
        self.attempts += 1
        if self.attempts == 1:
            self._first_at = self._loop.time()
        self._outcome = self._loop.create_future()
        outcome = self._outcome
        try:
            self.link = self._make(Dial(exclude=self.excluded, ready=self._ready_seconds))
            self.link.start()
        except Exception as error:
            raise _NotBegun(error) from error
        await outcome

    async def _wait(self, seconds: float) -> None:
        self.retry_at = self._loop.time() + seconds
        try:
            await self._sleep(seconds)
        finally:
            self.retry_at = None

    def _worth_retrying(self, error: BaseException) -> bool:
        """Once there was a link, always. Before that, not after an error that a retry cannot fix: a bad deploy fails at once."""
        hopeless = isinstance(error, SyncFailed | TooManyApps) or (
            isinstance(error, AuthenticationFailed) and self._keyring.exhausted
        )
        return isinstance(error, Exception) and not isinstance(error, _NotBegun) and (self._ever_ready or not hopeless)

    def _note_failure(self, retry_state: tenacity.RetryCallState) -> None:
        error = retry_state.outcome.exception() if retry_state.outcome else None
        if self.link is None or not isinstance(error, Exception):
            return
        self.last_error = error
        if isinstance(error, HandshakeTimeout) and error.stage == "ready":
            # The gateway may be syncing the functions: try it again, and wait longer.
            self._ready_seconds = min(self._ready_seconds * 2, self._deadlines.ready_max)
        else:
            self.exclude(self.link)
        delay = retry_state.next_action.sleep if retry_state.next_action else 0.0
        self.retry_at = self._loop.time() + delay  # before `dial_failed`, whose listeners may ask for it
        cause = self._backoff.cause.value if self._backoff.cause else ""
        self._owner.dial_failed(self.attempts, delay, error, cause)
