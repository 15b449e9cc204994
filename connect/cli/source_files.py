"""The files whose change starts a worker again, and which of them have changed."""

import asyncio
import functools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from connect.errors import ConfigurationError

BURST_MS: Final = 300
"""Milliseconds: changes that follow each other faster are one."""

_SUFFIXES: Final = {".py", ".pyd", ".pyx"}
_NOT_THE_USERS: Final = {"__pycache__", "node_modules", "site-packages"}
_OF_EDITORS: Final = (".", "#", "flycheck_")
"""Beginnings of names that editors give to files of their own."""


class SourceFiles:
    """The Python files below *folder*, and *others*, wherever those are. Virtual environments and files of tools do not count."""

    def __init__(self, folder: Path, others: Iterable[Path]) -> None:
        self._folder = folder.resolve()
        self._others = {path.resolve() for path in others}
        self._changed: dict[str, None] = {}
        self._change = asyncio.Event()

    async def watch(self) -> None:
        """Note changes, until cancelled. Raises: ConfigurationError: the system does not let the folder be watched."""
        outside = {path.parent for path in self._others if not path.is_relative_to(self._folder)}
        watched = [self._watch([self._folder], recursive=True)]
        if outside:
            watched.append(self._watch(outside, recursive=False))
        await asyncio.gather(*watched)

    async def changed(self) -> None:
        """Wait until a file has changed."""
        await self._change.wait()

    def take_changes(self) -> str:
        """What has changed since this was called last: `orders.py and 2 more changed`."""
        first, *more = [*self._changed] or [""]
        self._changed.clear()
        self._change.clear()
        return f"{first} and {len(more)} more changed" if more else f"{first} changed"

    async def _watch(self, folders: Iterable[Path], *, recursive: bool) -> None:
        import watchfiles

        try:
            async for batch in watchfiles.awatch(
                *folders, watch_filter=self.is_watched, step=BURST_MS, recursive=recursive
            ):
                self._note(path for _, path in batch)
        except (OSError, RuntimeError) as error:
            raise ConfigurationError(f"--reload cannot watch {self._folder}: {error}") from None

    def _note(self, paths: Iterable[str]) -> None:
        self._changed |= dict.fromkeys(map(os.path.relpath, sorted(paths)))
        self._change.set()

    def is_watched(self, _change: object, name: str) -> bool:
        """Whether a change of the file *name*, a full path, counts."""
        path = Path(name)
        if path in self._others:
            return True
        if path.suffix not in _SUFFIXES or path.name.startswith(_OF_EDITORS) or not path.is_relative_to(self._folder):
            return False
        folders = path.relative_to(self._folder).parts[:-1]
        of_tools = any(part.startswith(".") or part in _NOT_THE_USERS for part in folders)
        return not of_tools and not _is_installed(path.parent, self._folder)


@functools.lru_cache(256)
def _is_installed(folder: Path, top: Path) -> bool:
    """Whether *folder* is in a virtual environment below *top*."""
    return folder != top and ((folder / "pyvenv.cfg").exists() or _is_installed(folder.parent, top))
