"""The sample app that the demo and the lab serve: three functions of a shop, and a count of the work that they did."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

import inngest

from connect.redaction import logger

EVENTS: Final = ("order/placed", "payment/due", "order/placed", "report/asked")
"""The events that the demo sends, in turn."""

LONG_SLUG: Final = "shop-report"
LONG: Final = 1.8
"""Seconds that the long function takes."""


class SampleApp:
    """`order` has two steps with a sleep between them, `payment` fails at its first attempt, `report` takes long."""

    def __init__(self, api_base_url: str) -> None:
        quiet = logger("connect.demo")
        quiet.setLevel(logging.CRITICAL)
        self.client = inngest.Inngest(app_id="shop", api_base_url=api_base_url, is_production=False, logger=quiet)
        self.functions = [self._order(), self._payment(), self._report()]
        self._finished: Counter[tuple[str, str]] = Counter()

    @property
    def repeated(self) -> int:
        """How many pieces of work were done more than once."""
        return sum(count > 1 for count in self._finished.values())

    def _work(self, run_id: str, piece: str, seconds: float) -> Callable[[], Awaitable[str]]:
        async def work() -> str:
            await asyncio.sleep(seconds)
            self._finished[run_id, piece] += 1
            return f"{piece} done"

        return work

    def _order(self) -> "inngest.Function[str]":
        @self.client.create_function(fn_id="order", trigger=inngest.TriggerEvent(event="order/placed"))
        async def order(ctx: inngest.Context) -> str:
            await ctx.step.run("reserve", self._work(ctx.run_id, "reserve", 0.3))
            await ctx.step.sleep("wait for the stock", timedelta(seconds=15))
            return await ctx.step.run("charge", self._work(ctx.run_id, "charge", 0.4))

        return order

    def _payment(self) -> "inngest.Function[str]":
        @self.client.create_function(fn_id="payment", trigger=inngest.TriggerEvent(event="payment/due"), retries=1)
        async def payment(ctx: inngest.Context) -> str:
            if ctx.attempt == 0:
                await asyncio.sleep(0.2)
                raise ConnectionError("the bank did not answer")
            return await self._work(ctx.run_id, "pay", 0.3)()

        return payment

    def _report(self) -> "inngest.Function[str]":
        @self.client.create_function(fn_id="report", trigger=inngest.TriggerEvent(event="report/asked"))
        async def report(ctx: inngest.Context) -> str:
            return await self._work(ctx.run_id, "write", LONG)()

        return report
