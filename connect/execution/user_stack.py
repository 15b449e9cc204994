"""Where a thread stands in user code: its stack without the frames of event loop, SDK and worker."""

import asyncio
import selectors
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Final

import inngest

_LOOP: Final = (str(Path(asyncio.__file__).parent), str(selectors.__file__))
_MACHINERY: Final = (*_LOOP, str(Path(__file__).parents[1]), str(Path(inngest.__file__).parent))
_FIRST: Final = 10
_LAST: Final = 30
"""Frames that are shown of a longer stack: a recursion can have thousands."""
_WIDEST: Final = 300
"""Characters of a line of source text."""


def user_stack(frame: FrameType, task: "asyncio.Task[Any] | None") -> str:
    """The lines of a traceback down to *frame*, from where *task* begins; None: from where the loop called a callback.

    "": the thread runs no user code. It waits for I/O, or for the CPU.
    """
    frames = list(_frames(frame, task))
    users = [(each, line) for each, line in frames if not each.f_code.co_filename.startswith(_MACHINERY)]
    if not users and task is None:
        return ""
    lines = "".join(_lines(users or frames)).splitlines()
    return "\n".join(line[:_WIDEST] for line in lines)


def _frames(frame: FrameType, task: "asyncio.Task[Any] | None") -> Iterator[tuple[FrameType, int]]:
    """The frames from *frame* outwards, each with its line, as far as they belong to *task* or to the callback."""
    root = getattr(task.get_coro(), "cr_frame", None) if task else None
    each: FrameType | None = frame
    while each and (task or not each.f_code.co_filename.startswith(_LOOP)):
        yield each, each.f_lineno
        each = None if each is root else each.f_back


def _lines(frames: list[tuple[FrameType, int]]) -> list[str]:
    """As a traceback has them, the innermost last."""
    outermost_first = frames[::-1]
    left_out = len(frames) - _FIRST - _LAST
    if left_out <= 0:
        return traceback.StackSummary.extract(iter(outermost_first)).format()
    first, last = (
        traceback.StackSummary.extract(iter(part)).format()
        for part in (outermost_first[:_FIRST], outermost_first[-_LAST:])
    )
    return [*first, f"  … {left_out} frames left out …\n", *last]
