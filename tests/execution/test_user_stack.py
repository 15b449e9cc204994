"""A stack of user code: without loop, SDK and worker, and short enough to be read."""

import asyncio
import sys
from typing import Any

from connect.execution.user_stack import user_stack


def seen(task: "asyncio.Task[object] | None") -> str:
    return user_stack(sys._getframe(), task)


def names(stack: str) -> list[str]:
    return [line.rpartition(", in ")[2] for line in stack.splitlines() if line.startswith('  File "')]


async def test_it_begins_where_the_task_does() -> None:
    async def inner() -> str:
        return seen(asyncio.current_task())

    async def outer() -> str:
        return await inner()

    assert names(await asyncio.create_task(outer())) == ["outer", "inner", "seen"]


async def test_a_callback_begins_where_the_loop_calls_it() -> None:
    came: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def callback() -> None:
        came.set_result(seen(None))

    asyncio.get_running_loop().call_soon(callback)
    assert names(await came) == ["callback", "seen"]


async def test_a_loop_that_waits_runs_no_code() -> None:
    """The innermost frame is the loop's own."""

    class Waiting:
        f_code = asyncio.BaseEventLoop._run_once.__code__  # type: ignore[attr-defined]
        f_lineno, f_back = 1, None

    assert user_stack(Waiting(), None) == ""  # type: ignore[arg-type]


async def test_of_a_recursion_the_middle_is_left_out() -> None:
    def one(depth: int, other: Any) -> str:
        return other(depth - 1, one) if depth else seen(asyncio.current_task())

    def two(depth: int, other: Any) -> str:
        return other(depth - 1, two) if depth else seen(asyncio.current_task())

    stack = await asyncio.create_task(_run(lambda: one(200, two)))
    assert "  … 164 frames left out …" in stack
    assert (names(stack)[0], names(stack)[-1]) == ("_run", "seen")
    assert len(stack.splitlines()) < 90


async def _run(work: Any) -> Any:
    return work()


async def test_a_line_of_generated_code_is_cut() -> None:
    source = f"{'x = 1; ' * 200}y = seen(None)"
    place = {"seen": seen}
    exec(compile(source, "generated", "exec"), place)  # noqa: S102
    assert all(len(line) <= 300 for line in str(place["y"]).splitlines())
