"""Processes that tests start record too, and hand what they found to the session.

A child knows the session by an environment variable, which names a folder, and begins by a start-up hook on PYTHONPATH. Its hits go
to the test that was running when it started. It writes its file when it ends: one that is killed (SIGKILL, or another signal that
it does not handle) or leaves by `os._exit` loses its record, and so does one that outlives the session, that is started with `-I`,
`-E` or `-S` or with an environment of its own, or whose interpreter finds another package `statecharts`. Forks count as children.
"""

import atexit
import json
import multiprocessing.util
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from statecharts.tools.coverage import hits
from statecharts.tools.coverage.hits import Hits
from statecharts.tools.coverage.startup import sitecustomize
from statecharts.tools.coverage.watch import Watch

_CHARTS = "charts"


class Children:
    """The session's side: from the start, processes begun by this one record *charts*, each by its `identity`."""

    def __init__(self, charts: Collection[str]) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="transition-cover-"))
        (self.path / _CHARTS).write_text(json.dumps(sorted(charts)), encoding="utf-8")
        hook = os.path.dirname(sitecustomize.__file__)
        path = os.pathsep.join(filter(None, [hook, os.environ.get("PYTHONPATH")]))
        ours = {sitecustomize.FOLDER: str(self.path), "PYTHONPATH": path}
        self._before = {name: os.environ.get(name) for name in ours}
        os.environ.update(ours)

    def hits(self) -> Hits:
        """The hits of the children that have ended by now."""
        found: Hits = Counter()
        for file in self.path.glob("*.json"):
            found.update(hits.from_json(file.read_text(encoding="utf-8")))
        return found

    def close(self) -> None:
        """Leave the environment as it was. May be called again."""
        while self._before:
            name, text = self._before.popitem()
            if text is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = text
        shutil.rmtree(self.path, ignore_errors=True)


def record(folder: Path, test: str) -> None:
    """The child's side: record for the session of *folder*. Called by the start-up hook."""
    watch = Watch(json.loads((folder / _CHARTS).read_text(encoding="utf-8")))
    watch.test = test
    watch.begin()
    atexit.register(_write, watch, folder)
    follow_forks(watch, folder)


def follow_forks(watch: Watch, folder: Path) -> None:
    """A fork of this process is a child with a record of its own."""

    def begin() -> None:
        watch.collect()
        atexit.register(_write, watch, folder)

    def end_with_multiprocessing(watch: Watch) -> None:
        # Its processes leave by os._exit, which runs nothing that was registered with atexit.
        multiprocessing.util.Finalize(None, _write, (watch, folder), exitpriority=0)

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=begin)
        if {"Finalize", "register_after_fork"} <= vars(multiprocessing.util).keys():  # Python documents neither
            multiprocessing.util.register_after_fork(watch, end_with_multiprocessing)


def _write(watch: Watch, folder: Path) -> None:
    found = watch.collect()
    with suppress(FileNotFoundError):  # the session is over
        if found:
            part = folder / f"{os.getpid()}-{time.monotonic_ns()}"
            part.write_text(hits.to_json(found), encoding="utf-8")
            part.rename(part.with_suffix(".json"))
