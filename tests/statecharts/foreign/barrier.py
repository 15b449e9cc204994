"""Flat, in the old style: a `StateMachine` whose methods are found by their names, and events that are decorated functions."""

from typing import Any

from statemachine import State, StateMachine

from tests.statecharts.foreign import ran


class Barrier(StateMachine):
    """A car park's barrier, for cars with a ticket."""

    down = State(initial=True)
    rising = State()
    up = State("Wide open")
    jammed = State()

    ticket = down.to(rising)
    reached_top = rising.to(up)
    car_passed = up.to.itself(internal=True, cond="queue_waits") | up.to(down)
    blocked = rising.to(jammed) | up.to(jammed)
    cycle = down.to(rising) | rising.to(up) | up.to(down)

    @jammed.to(down)
    def repaired(self) -> None:
        ran("repaired")

    def __init__(self) -> None:
        ran("__init__")
        super().__init__()

    def before_cycle(self, event: str) -> str:
        return f"{event}{ran('before_cycle')}"

    def on_ticket(self, number: int = 0) -> int:
        return number + ran("on_ticket")

    def after_reached_top(self) -> None:
        ran("after_reached_top")

    def on_enter_up(self) -> None:
        ran("on_enter_up")

    def on_exit_up(self) -> None:
        ran("on_exit_up")

    def on_enter_jammed(self, **found: Any) -> None:
        ran(f"on_enter_jammed {found}")

    def queue_waits(self) -> bool:
        return ran("queue_waits")
