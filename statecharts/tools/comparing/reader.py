"""Run as a program by `statecharts.tools.comparing.revision`: read charts where importing them cannot disturb the caller.

Its only argument is a file, JSON: what to import, from where, and where to put the answer. `model` and `load` are imported from
their files and under private names, because the revision may hold another package `statecharts`.
"""

import contextlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def main(order: dict[str, Any]) -> None:
    """Write to the file `order["answer"]`: {"charts": {name: model as JSON text, null for none}} or {"error": one line}."""
    sys.path[:] = order["path"]
    tools = Path(__file__).parents[1]
    model = _private("_statecharts_model", tools.parent / "model.py")
    load = _private("_statecharts_load", tools / "load.py")
    charts: dict[str, str | None] = {}
    try:
        for name in order["names"]:
            with contextlib.suppress(load.MissingError):
                charts[name] = None
                chart = load.chart(name)
                charts[name] = model.to_json(model.read(chart)) if _is_of(chart, order) else None
        answer: dict[str, Any] = {"charts": charts}
    except load.UnusableError as error:
        answer = {"error": str(error)}
    Path(order["answer"]).write_text(json.dumps(answer), encoding="utf-8")


def _private(name: str, file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(str(file))
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _is_of(chart: type, order: dict[str, Any]) -> bool:
    """Whether *chart* is the revision's or an installed package's: the working tree may have modules that the revision lacks."""
    file = Path(getattr(sys.modules.get(chart.__module__), "__file__", None) or order["tree"]).resolve()
    return file.is_relative_to(order["tree"]) or not file.is_relative_to(order["root"])


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
