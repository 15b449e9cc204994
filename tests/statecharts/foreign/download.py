"""Asynchronous: `async def` actions, a task that lives as long as its state, and every way to stay in a state."""

import asyncio
from typing import Any

from statemachine import Event, State, StateChart

from tests.statecharts.foreign import ran


class Download(StateChart):
    """A file on its way."""

    waiting = State(initial=True)

    class running(State.Compound, name="Running"):  # noqa: N801
        connecting = State(initial=True)
        receiving = State()
        checking = State(invoke="compute_hash")
        connected = connecting.to(receiving)
        complete = receiving.to(checking)
        chunk = receiving.to.itself(internal=True, cond="is_first") | receiving.to(None, on="store")
        redirect = receiving.to(connecting) | connecting.to.itself(on="follow")

    failed = State()
    stored = State(final=True)

    start = Event(waiting.to(running), name="Start, please: now")
    done_invoke_checking = running.to(stored)
    restart = running.to.itself() | failed.to(running.connecting)
    skip = running.to(running.checking, internal=True)
    error_execution = running.to(failed)
    retry = failed.to(running, cond="may_retry") | failed.to(stored, cond="has_mirror")
    running.to(failed, cond="disk_full")

    async def on_enter_running(self) -> None:
        ran("on_enter_running")
        await asyncio.sleep(0)

    async def store(self, data: bytes = b"") -> int:
        ran("store")
        return len(data)

    async def compute_hash(self, **_: Any) -> str:
        return f"{ran('compute_hash')}"

    async def follow(self) -> None:
        ran("follow")

    async def before_transition(self) -> None:
        ran("before_transition")

    def is_first(self) -> bool:
        return ran("is_first")

    def may_retry(self) -> bool:
        return ran("may_retry")

    def has_mirror(self) -> bool:
        return ran("has_mirror")

    def disk_full(self) -> bool:
        return ran("disk_full")
