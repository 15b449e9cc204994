"""A flood: a gateway that sends so much that means nothing that its link is no use (docs/decisions/floods.md)."""

import asyncio
from typing import Final

from connect.errors import LinkLost

FRAMES: Final = 20_000
"""So many frames that mean nothing, within `SECONDS`, are a flood. A large frame counts as one for each `FRAME_BYTES` of it."""
SECONDS: Final = 10.0
FRAME_BYTES: Final = 4096
WORTH: Final = 10
"""A frame that means something makes up for so many of its size: a newer gateway may send something unknown with each request."""


class Flood:
    """Counts the frames of one link."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._count = 0
        self._since = 0.0

    def note(self, size: int, meant: bool) -> None:
        """A frame of *size* bytes came; *meant*: it meant something. Raises: LinkLost: it is a flood."""
        weight = 1 + size // FRAME_BYTES
        if meant:
            if self._count:
                self._count = max(0, self._count - WORTH * weight)
            return
        if self._count == 0:
            self._since = self._loop.time()
        self._count += weight
        if self._count >= FRAMES:
            took = self._loop.time() - self._since
            self._count = 0
            if took < SECONDS:
                raise LinkLost(
                    f"the gateway floods the link: {FRAMES} frames that mean nothing within {took:.1f} s "
                    f"(each {FRAME_BYTES} bytes of a frame count as one)"
                )
