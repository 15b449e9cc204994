"""The context of the checks: the doctor's arguments, and what earlier checks have found out."""

import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Any

import aiohttp

from connect.configuration import Configuration
from connect.doctor.frames import Frames
from connect.doctor.network import Target
from connect.transport.api import Grant


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """The arguments of the command. *apps* are the user's apps, imported already; None: check with the environment alone."""

    apps: Any = None
    api_base_url: str | None = None
    gateway_url: str | None = None
    insecure_gateway: bool = False
    proxy: str | None = None
    env: str | None = None
    register: bool = False
    timeout: float = 5.0
    """Seconds for each check."""


@dataclass(frozen=True)
class Answer:
    """The headers of an HTTP answer, and the time at which it came, by this machine's wall clock."""

    headers: Mapping[str, str]
    at: float

    @property
    def is_page(self) -> bool:
        """Whether it is a web page."""
        return "html" in self.headers.get("Content-Type", "")

    @property
    def date(self) -> float | None:
        """The server's wall clock, in seconds; None: the answer has no `Date`, or one that cannot be read."""
        try:
            return parsedate_to_datetime(self.headers["Date"]).timestamp()
        except (KeyError, ValueError):
            return None


@dataclass
class Context:
    """What one check leaves for the next. The check that finds out about a field without a default sets it; later checks need that
    check."""

    arguments: Arguments
    secrets: set[str]
    """The texts that no finding may show."""
    session: aiohttp.ClientSession = field(init=False)
    configuration: Configuration = field(init=False)
    origin_source: str = field(init=False)
    """Which option or variable the API's address comes from."""
    api: Target = field(init=False)
    answer: Answer = field(init=False)
    """The latest answer to an HTTP request."""
    grant: Grant | None = None
    gateway_url: str = field(init=False)
    gateway: Target = field(init=False)
    socket: aiohttp.ClientWebSocketResponse = field(init=False)
    frames: Frames = field(init=False)
    worker_connect: bytes = field(init=False)
    """The WORKER_CONNECT of the apps."""
    cleanup: AsyncExitStack = field(default_factory=AsyncExitStack)
    """Closes sockets and sessions after the last check."""

    def trace_config(self) -> aiohttp.TraceConfig:
        """For a session: keeps its latest answer here."""

        async def note(_: object, __: SimpleNamespace, ended: aiohttp.TraceRequestEndParams) -> None:
            self.answer = Answer(ended.response.headers, time.time())

        config = aiohttp.TraceConfig()
        config.on_request_end.append(note)
        return config
