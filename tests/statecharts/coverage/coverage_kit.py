"""What tests of transition coverage use: a nested chart, a flat chart, and readers of what a session found."""

import json
from pathlib import Path
from typing import Any

import pytest

PLUGIN = ("-p", "statecharts.tools.coverage", "-p", "no:asyncio", "-p", "no:cacheprovider", "-p", "no:randomly")

LIFT = '''
"""How does a lift go?"""

import asyncio
import inspect

from statemachine import State, StateChart


class Lift(StateChart):
    """Nested, parallel, eventless, internal, guarded."""

    powered = True
    broken = False

    idle = State(initial=True)

    class moving(State.Parallel, name="Moving"):
        class cabin(State.Compound, name="Cabin"):
            rising = State(initial=True)
            falling = State()
            turn = rising.to(falling)

        class bell(State.Compound, name="Bell"):
            silent = State(initial=True)
            ringing = State()
            turn = silent.to(ringing)

        level = cabin.to(cabin.rising, internal=True)

    stuck = State(final=True)

    call = idle.to(moving, cond="powered") | idle.to(None)
    tick = idle.to(None, on="note")
    stop = moving.to(idle)
    idle.to(stuck, cond="broken")

    ignored = {"stuck": frozenset({"tick"})}

    {async}def note(self):
        pass


def ride(*events, **facts):
    """A lift that these events come to, the *facts* true after the first, whichever engine runs it."""

    async def go():
        lift = Lift()
        for event in events:
            result = lift.send(event)
            if inspect.isawaitable(result):
                await result
            vars(lift).update(facts)

    asyncio.run(go())
'''

TICKET = """
from contextlib import suppress

from statecharts import Stepper, compile_chart
from statemachine import State, StateChart


class Ticket(StateChart):
    new = State(initial=True)
    paid = State()
    void = State(final=True)

    pay = new.to(paid, cond="rich") | new.to(void, cond="poor")
    look = paid.to(None)
    tear = paid.to(void) | new.to(void)


class Buyer:
    asked = 0

    def __init__(self, rich=False, poor=False):
        self.answers = rich, poor

    def rich(self):
        self.asked += 1
        return self.answers[0]

    def poor(self):
        self.asked += 1
        return self.answers[1]


TABLE = compile_chart(Ticket)


def buy(*events, **facts):
    buyer, moves = Buyer(**facts), []
    stepper = Stepper(TABLE, buyer, unexpected=lambda _: None, moved=moves.append)

    def moved(event):
        before = len(moves)
        with suppress(LookupError):
            stepper.fire(event)
        return len(moves) > before

    return [moved(event) for event in events], buyer
"""


def lift(*, asynchronous: bool = False) -> str:
    """The module `lift`, whose chart either engine of the library runs."""
    return LIFT.replace("{async}", "async " if asynchronous else "")


def found(pytester: pytest.Pytester, *arguments: str, passed: int = 1, in_process: bool = True) -> dict[str, Any]:
    """Run a session; what its JSON says of the charts that *arguments* name. *passed* tests must have passed."""
    run = pytester.runpytest_inprocess if in_process else pytester.runpytest_subprocess
    result = run(*PLUGIN, "--transition-cover-report=report", *arguments)
    result.assert_outcomes(passed=passed)
    charts: dict[str, Any] = json.loads((pytester.path / "report" / "coverage.json").read_text())["charts"]
    return charts


def taken(chart: dict[str, Any]) -> dict[str, int]:
    """How often each transition was taken; those that were not are left out."""
    return {each["wording"].partition(": ")[2]: each["taken"] for each in chart["transitions"] if each["taken"]}


def guards(chart: dict[str, Any]) -> dict[str, tuple[int, int]]:
    """How often each guard held, and how often it refused."""
    return {each["wording"].partition(": ")[2]: (each["held"], each["refused"]) for each in chart["guards"]}


def refused(chart: dict[str, Any]) -> dict[str, int]:
    """How often an event moved nothing; with a question mark if it is ignored on purpose."""
    return {
        f"{'+'.join(each['states'])} {each['event']}{'?' * each['ignored']}": each["count"] for each in chart["refused"]
    }


def takers(chart: dict[str, Any]) -> set[str]:
    """The tests that took a transition."""
    return {test for each in chart["transitions"] for test in each["tests"]}


def write(path: Path, text: str) -> None:
    """Write a file into a folder, which may be new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
