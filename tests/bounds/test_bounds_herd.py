"""All workers of a gateway lose it, or are told of its drain, at the same moment: they dial spread out, and each one soon."""

import asyncio
import random
from typing import Any

import inngest
import pytest
from rig import ACTIVE, RECONNECTING, reaches

from connect import events
from connect.backoff import AT_ONCE_JITTER, Backoff
from connect.configuration import resolve
from connect.errors import LinkLost
from connect.gateway import Gateway
from connect.options import Options

FLEET = 200
WINDOW = 0.05
"""Seconds."""
MOST = 50
"""Dials within WINDOW: 20 are expected, and 50 are seven standard deviations more. It was 149."""


def most_within(window: float, moments: list[float]) -> int:
    """The largest number of *moments* within *window* seconds."""
    ordered = sorted(moments)
    return max(sum(first <= each < first + window for each in ordered) for first in ordered)


@pytest.mark.parametrize("cause", [LinkLost("gone"), None], ids=["loss", "drain"])
def test_a_fleet_that_loses_one_gateway_dials_spread_out(cause: Exception | None) -> None:
    """Each worker draws its wait by chance of its own."""

    client = inngest.Inngest(app_id="app", is_production=False)

    @client.create_function(fn_id="echo", trigger=inngest.TriggerEvent(event="echo"))
    async def echo(ctx: inngest.Context) -> None: ...

    def wait() -> float:
        known = resolve(Options([(client, [echo])]))
        backoff = Backoff(known.keyring, known.rng)
        backoff.link_ready(100.0)
        return backoff.before_dialling(cause, 200.0)

    assert most_within(WINDOW, [wait() for _ in range(FLEET)]) <= MOST


async def test_one_worker_replaces_a_lost_link_within_a_second(
    gw: Gateway, start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the waits that users have, each of them the longest that may be drawn. A busy machine may delay some of the three."""
    monkeypatch.setattr(random.Random, "uniform", lambda _self, _low, high: high)
    worker = await start(retry=None)
    for times in range(1, 4):
        (connection,) = gw.connections
        connection.drop()
        await reaches(worker, RECONNECTING, times=times)
        await reaches(worker, ACTIVE, times=times + 1)
        async with asyncio.timeout(5):
            await gw.wait_for_worker()
    changes = worker.heard(events.StateChanged)
    lost, back = ([each.at for each in changes if each.to_state == state] for state in (RECONNECTING, ACTIVE))
    took = [later - earlier for earlier, later in zip(lost, back[1:], strict=True)]
    assert len(took) == 3
    assert AT_ONCE_JITTER <= min(took) < 1.0
