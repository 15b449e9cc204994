"""A case: what the doctor was asked, and what the checks have found out so far."""

import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Any

import aiohttp

from connect.configuration import Configuration
from connect.doctor.network import Target
from connect.doctor.talk import Talk
from connect.transport.api import Grant


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be examined. *apps* are the user's, found already; None: the environment alone."""

    apps: Any = None
    api_base_url: str | None = None
    gateway_url: str | None = None
    env: str | None = None
    register: bool = False
    timeout: float = 5.0
    """Seconds for each check."""


@dataclass(frozen=True)
class Answer:
    """The head of an HTTP answer, and when it came, by this machine's wall clock."""

    headers: Mapping[str, str]
    at: float

    @property
    def is_page(self) -> bool:
        """Whether it is for people."""
        return "html" in self.headers.get("Content-Type", "")

    @property
    def date(self) -> float | None:
        """The server's wall clock, in seconds; None: it does not say."""
        try:
            return parsedate_to_datetime(self.headers["Date"]).timestamp()
        except (KeyError, ValueError):
            return None


@dataclass
class Case:
    """What has no value at first is there once the check that finds it has gone well."""

    plan: Plan
    secrets: set[str]
    """What no finding may hold."""
    session: aiohttp.ClientSession = field(init=False)
    options: Configuration = field(init=False)
    origin_from: str = field(init=False)
    """What decides where the API is."""
    api: Target = field(init=False)
    answer: Answer = field(init=False)
    """The last one to an HTTP request."""
    grant: Grant | None = None
    gateway_url: str = field(init=False)
    gateway: Target = field(init=False)
    socket: aiohttp.ClientWebSocketResponse = field(init=False)
    talk: Talk = field(init=False)
    introduction: bytes = field(init=False)
    """The WORKER_CONNECT of the apps."""
    cleanup: AsyncExitStack = field(default_factory=AsyncExitStack)
    """What is to be closed in the end."""

    def witness(self) -> aiohttp.TraceConfig:
        """For a session: notes each answer."""

        async def note(_: object, __: SimpleNamespace, told: aiohttp.TraceRequestEndParams) -> None:
            self.answer = Answer(told.response.headers, time.time())

        config = aiohttp.TraceConfig()
        config.on_request_end.append(note)
        return config
