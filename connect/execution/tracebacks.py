"""Empties the frames that a failure's traceback leads through, so that nothing keeps what they hold.

An exception has a traceback, the traceback has frames, and a frame often has the exception: in the SDK's code, in that of
`asyncio.TaskGroup`, in any function that awaits a task of its own. Such a cycle keeps everything until the garbage collector runs,
which counts objects and not their bytes. The traceback stays, for those who keep the exception: files, lines, names.
"""

import contextlib
import gc
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Final

_CLEAR_REFUSES_SUSPENDED: Final = sys.version_info >= (3, 13)
"""Whether `frame.clear()` raises for a coroutine that is suspended. Before, it closed the coroutine."""


def empty(error: BaseException) -> None:
    """Drop the local variables of the frames that *error*, its causes and its members came through, and of those that called them.

    Only of frames that have ended: those that run, or are suspended, may belong to a task that goes on.
    """
    seen: set[int] = set()
    for each in _linked(error):
        traceback = each.__traceback__
        while traceback:
            _empty_frames(traceback.tb_frame, seen)
            traceback = traceback.tb_next


def _linked(error: BaseException) -> Iterator[BaseException]:
    """*error*, the exceptions that are its cause or context, and the members of groups, each once."""
    known = {id(error): error}
    waiting = [error]
    while waiting:
        each = waiting.pop()
        members = each.exceptions if isinstance(each, BaseExceptionGroup) else ()
        for other in (each.__cause__, each.__context__, *members):
            if other is not None and id(other) not in known:
                known[id(other)] = other
                waiting.append(other)
    yield from known.values()


def _empty_frames(frame: FrameType | None, seen: set[int]) -> None:
    while frame and id(frame) not in seen:
        seen.add(id(frame))
        if _CLEAR_REFUSES_SUSPENDED or _has_ended(frame):
            with contextlib.suppress(RuntimeError):
                frame.clear()
        frame = frame.f_back


def _has_ended(frame: FrameType) -> bool:
    """Whether nothing runs *frame* any more: then it owns its variables and its code, and tells the collector of them."""
    return any(each is frame.f_code for each in gc.get_referents(frame))
