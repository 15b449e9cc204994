"""A chart class made anew from its plain data: the same states and transitions, none of its code.

Charts often carry their own actions and guards. To walk through such a chart without running them, or to try a changed one, its
model is built back into a class whose callbacks are names only; `note_taker` in `paths` answers to them. `read(replica(model))` is
the model again, apart from docstrings and what is invoked.
"""

import re
from typing import Any, cast

from statemachine import StateChart
from statemachine.io import create_machine_class_from_definition

from statecharts.model import ChartModel, EdgeModel, StateModel
from statecharts.tools import nesting


def replica(chart: ChartModel) -> type[StateChart[Any]]:
    """The class. Raises: statemachine.exceptions.InvalidDefinition: the library refuses such a chart."""
    return create_machine_class_from_definition(
        chart.name,
        cast(Any, {state.id: _definition(chart, state) for state in nesting.children(chart, None)}),
        ignored={state: frozenset(events) for state, events in chart.ignored.items()},
        tasks={task.name: (" ".join(task.begins), " ".join(task.ends)) for task in chart.tasks},
        __module__=__name__,
    )


def question(guard: str) -> str:
    """*guard* as the library can ask it of names: what compares or calls becomes one name of its own."""
    words = re.sub(r"[A-Za-z_λ]\w*|[()\s]", "", guard)
    calls = re.search(r"\w\s*\(", re.sub(r"\b(and|or|not)\b\s*", "", guard))
    return re.sub(r"\W+", "_", guard).strip("_") if words or calls else guard


def _definition(chart: ChartModel, state: StateModel) -> dict[str, Any]:
    inner = nesting.children(chart, state.id)
    given: dict[str, Any] = {
        "name": state.name,
        "initial": state.initial,
        "final": state.kind == "final",
        "parallel": state.kind == "parallel",
        "enter": list(state.entry),
        "exit": list(state.exit),
        "states": {child.id: _definition(chart, child) for child in inner if child.kind != "history"},
        "history": {
            child.id: {"name": child.name, **_events(chart, child)} for child in inner if child.kind == "history"
        },
    }
    return {**given, **_events(chart, state)}


def _events(chart: ChartModel, state: StateModel) -> dict[str, Any]:
    events: dict[str | None, list[dict[str, Any]]] = {}
    for edge in chart.edges:
        if edge.source == state.id:
            events.setdefault(edge.event or None, []).append(_transition(edge))
    return {"on": events}


def _transition(edge: EdgeModel) -> dict[str, Any]:
    return {
        "target": " ".join(edge.targets) or None,
        "internal": edge.internal,
        "cond": question(edge.guard) or None,
        "on": list(edge.actions),
        "after": list(edge.after),
    }
