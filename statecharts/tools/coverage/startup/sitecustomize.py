"""Run by Python itself at the start of every process that a test starts while transitions are covered: see `children`.

It runs the `sitecustomize` that it hides, and begins to record once python-statemachine is imported. It imports only what Python
has loaded by then anyway, so that a process without charts loses no time.
"""

import os
import sys

TYPE_CHECKING = False  # stands in for typing's: importing typing takes longer than all the rest
if TYPE_CHECKING:
    from typing import Any

FOLDER = "TRANSITION_COVER_FOLDER"
"""Names the session's folder."""


def step_aside() -> None:
    """Run the `sitecustomize` that this one hides, if there is one."""
    ours = sys.modules.pop("sitecustomize")
    here = os.path.dirname(__file__)
    sys.path[:] = [folder for folder in sys.path if folder != here]
    try:
        __import__("sitecustomize")
    except ModuleNotFoundError as error:
        if error.name != "sitecustomize":
            raise
        sys.modules["sitecustomize"] = ours


class Awaiting:
    """Lets the other finders find python-statemachine, and begins to record once it is imported."""

    def __init__(self, folder: str, test: str) -> None:
        self._folder = folder
        self._test = test

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "Any":
        """Called by the import system."""
        if name != "statemachine":
            return None
        sys.meta_path.remove(self)
        found = (finder.find_spec(name, path, target) for finder in sys.meta_path)
        spec = next(filter(None, found), None)
        if spec and spec.loader:
            execute = spec.loader.exec_module
            spec.loader.exec_module = lambda module: self._run(execute, module)  # type: ignore[method-assign]
        return spec

    def _run(self, execute: "Any", module: "Any") -> None:
        execute(module)
        if os.path.isdir(self._folder) and _finds_ours():
            from pathlib import Path

            from statecharts.tools.coverage import children

            children.record(Path(self._folder), self._test)


def _finds_ours() -> bool:
    """Whether this process would import the package that this file belongs to, not another one of that name."""
    from importlib.util import find_spec

    package = find_spec("statecharts")
    ours = os.path.join(os.path.dirname(__file__), "..", "..", "..", "__init__.py")
    return bool(package and package.origin and os.path.samefile(package.origin, ours))


if __name__ == "sitecustomize":
    step_aside()
    if FOLDER in os.environ and "PYTEST_CURRENT_TEST" in os.environ:
        test, _, _ = os.environ["PYTEST_CURRENT_TEST"].rpartition(" (")
        sys.meta_path.insert(0, Awaiting(os.environ[FOLDER], test))
