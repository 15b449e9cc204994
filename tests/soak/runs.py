"""The load of the soak: run after run of each function."""

import asyncio
from collections.abc import Callable
from typing import Final

from books import Books

from connect.gateway import Gateway, Run

AT_ONCE: Final = {"soak-work": 60, "soak-slow": 6}
"""How many runs of each function are under way at any time."""


class Load:
    """Keeps `AT_ONCE` runs under way, and enters each in *books* when it has ended."""

    def __init__(self, gateway: Gateway, books: Books) -> None:
        self._gateway = gateway
        self._books = books
        self.running: dict[Run, None] = {}
        """The runs that have not ended, oldest first."""

    @property
    def requests(self) -> int:
        """Requests of all runs that have ended."""
        return self._books.requests

    async def run(self, enough: Callable[[], bool]) -> None:
        """Start run after run until *enough*, and wait for the last ones."""

        async def one_after_the_other(slug: str) -> None:
            while not enough():
                run = self._gateway.start_run(slug)
                self.running[run] = None
                await run.done()
                del self.running[run]
                self._books.add(run)

        await asyncio.gather(*(one_after_the_other(slug) for slug, count in AT_ONCE.items() for _ in range(count)))
