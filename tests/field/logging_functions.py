"""A user's module for the tests of logs: functions that come to something, each in another way, and Sentry, which tells a file."""

import json
import os
from pathlib import Path
from typing import Any

import inngest
import sentry_sdk
from sentry_sdk.transport import Transport


class ToFile(Transport):
    """Adds each event to the file that `EVENTS` names."""

    def capture_envelope(self, envelope: Any) -> None:
        event = envelope.get_event()
        if event:
            with Path(os.environ["EVENTS"]).open("a") as file:
                file.write(json.dumps(event, default=str) + "\n")


if "EVENTS" in os.environ:
    sentry_sdk.init(dsn="http://key@127.0.0.1:9/1", transport=ToFile, traces_sample_rate=0.0)

client = inngest.Inngest(app_id="app", is_production=False)
functions: list[inngest.Function[Any]] = []


def _function(fn_id: str, **options: Any) -> Any:
    def decorate(handler: Any) -> Any:
        trigger = inngest.TriggerEvent(event=fn_id)
        functions.append(client.create_function(fn_id=fn_id, trigger=trigger, **{"retries": 0, **options})(handler))
        return handler

    return decorate


class OrderError(Exception):
    pass


def find(order: str) -> None:
    raise OrderError(f"no order {order}")


@_function("fails")
async def fails(ctx: inngest.Context) -> None:
    find("A-1")


@_function("fails-sync")
def fails_sync(ctx: inngest.ContextSync) -> None:
    find("A-2")


@_function("fails-in-a-step")
async def fails_in_a_step(ctx: inngest.Context) -> None:
    async def work() -> None:
        find("A-3")

    await ctx.step.run("find it", work)


@_function("retried", retries=1)
async def retried(ctx: inngest.Context) -> None:
    find("A-4")


@_function("quiet")
async def quiet(ctx: inngest.Context) -> None:
    raise inngest.NonRetriableError("nothing to do", quiet=True)


@_function("unserialisable")
async def unserialisable(ctx: inngest.Context) -> Any:
    return {1, 2}


@_function("sends")
async def sends(ctx: inngest.Context) -> list[str]:
    return await client.send(inngest.Event(name="nothing/hears-it"))


apps = [(client, functions)]
