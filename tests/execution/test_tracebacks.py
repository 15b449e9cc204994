"""Frames that a traceback leads through are emptied once they have ended, and only then."""

import asyncio
import weakref
from typing import Any

import pytest

from connect.execution import tracebacks

pytestmark = pytest.mark.oldest


class Local:
    """What a frame holds."""


def raised(references: list[Any]) -> Exception:
    """An exception whose frame holds a variable and, as a loop would, itself."""

    def fail() -> None:
        local = Local()
        references.append(weakref.ref(local))
        error = ValueError("failed")
        raise error
        del local

    try:
        fail()
    except ValueError as error:
        return error
    raise AssertionError


@pytest.mark.parametrize("link", ["itself", "__cause__", "__context__", "member", "member of a cause"])
def test_the_frames_of_an_exception_and_of_all_that_it_links_to_are_emptied(link: str) -> None:
    references: list[Any] = []
    inner = raised(references)
    whole: BaseException = RuntimeError("whole")
    match link:
        case "itself":
            whole = inner
        case "member":
            whole = ExceptionGroup("several", [inner])
        case "member of a cause":
            whole.__cause__ = ExceptionGroup("several", [inner])
        case _:
            setattr(whole, link, inner)
    tracebacks.empty(whole)
    assert [reference() for reference in references] == [None]
    assert inner.__traceback__


def test_the_traceback_still_says_where() -> None:
    error = raised([])
    tracebacks.empty(error)
    assert error.__traceback__
    assert error.__traceback__.tb_next
    assert error.__traceback__.tb_next.tb_frame.f_code.co_name == "fail"


def test_exceptions_that_are_each_others_cause_have_an_end() -> None:
    first, second = raised([]), raised([])
    first.__cause__, second.__cause__ = second, first
    tracebacks.empty(first)


def test_a_frame_that_runs_keeps_its_variables() -> None:
    local = Local()
    error = raised([])
    try:
        raise error
    except ValueError:
        tracebacks.empty(error)
    assert isinstance(local, Local)


async def test_a_task_that_goes_on_after_it_has_handed_on_an_exception_is_left_alone() -> None:
    """As the reader of a connection does, whose waiters all get the error."""
    handed_on: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    go_on = asyncio.Event()

    async def read() -> str:
        local = "still here"
        try:
            raised_in()
        except ValueError as error:
            handed_on.set_exception(error)
        await go_on.wait()
        return local

    def raised_in() -> None:
        raise ValueError("lost")

    reader = asyncio.create_task(read())
    try:
        await handed_on
    except ValueError as error:
        tracebacks.empty(error)
    go_on.set()
    assert await reader == "still here"


def test_frames_that_called_those_of_the_traceback_are_emptied_too() -> None:
    """A frame has its caller's, and the SDK's callers of a function have its result."""
    references: list[Any] = []

    def call() -> Exception:
        local = Local()
        references.append(weakref.ref(local))
        error = raised([])
        return error if local else ValueError()

    error = call()
    tracebacks.empty(error)
    assert [reference() for reference in references] == [None]
