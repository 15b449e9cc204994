"""A chart class made anew from its plain data: the same states and transitions, none of its code.

Charts often carry their own actions and guards. To walk through such a chart without running them, or to try a changed one, its
model is built back into a class whose callbacks are names only; `note_taker` in `paths` answers to them. `read(replica(model))` is
the model again, apart from docstrings and what is invoked.
"""

import ast
import re
from collections.abc import Iterator
from typing import Any, cast

from statemachine import StateChart
from statemachine.io import create_machine_class_from_definition

from statecharts.model import ChartModel, EdgeModel, StateModel
from statecharts.tools.drawing import nesting


def replica(chart: ChartModel, **checks: bool) -> type[StateChart[Any]]:
    """The class. *checks*: the library's, such as `validate_trap_states=False`; those not named are on.

    Raises: statemachine.exceptions.InvalidDefinition: the library refuses such a chart.
    """
    further = {
        "ignored": {state: frozenset(events) for state, events in chart.ignored.items()},
        "tasks": {task.name: (" ".join(task.begins), " ".join(task.ends)) for task in chart.tasks},
    }
    return create_machine_class_from_definition(
        chart.name,
        cast(Any, {state.id: _definition(chart, state) for state in nesting.children(chart, None)}),
        # Without them, a state may be called so.
        **{name: said for name, said in further.items() if said},
        __module__=__name__,
        **checks,
    )


def question(guard: str) -> str:
    """*guard* as the library can ask it of names: each comparison and call in it becomes one name of its own."""
    for text, name in sorted(atoms(guard).items(), key=lambda atom: -len(atom[0])):
        guard = guard.replace(text, name)
    return guard


def atoms(guard: str) -> dict[str, str]:
    """The parts of *guard* that are more than a name, each with the name that stands for it in a replica."""
    try:
        tree = ast.parse(guard, mode="eval").body
    except SyntaxError:
        return {guard: _name(guard)}
    texts = (ast.get_source_segment(guard, part) or "" for part in _parts(tree))
    return {text: _name(text) for text in texts if not text.isidentifier()}


def _parts(tree: ast.expr) -> Iterator[ast.expr]:
    match tree:
        case ast.BoolOp():
            for value in tree.values:
                yield from _parts(value)
        case ast.UnaryOp(op=ast.Not()):
            yield from _parts(tree.operand)
        case ast.Call(func=ast.Name("In")):
            return  # asks for active states, and the replica has the same
        case _:
            yield tree


def _name(text: str) -> str:
    for sign, word in _COMPARED.items():
        text = text.replace(sign, f" {word} ")
    return re.sub(r"\W+", "_", text).strip("_")


_COMPARED = {"<=": "at_most", ">=": "at_least", "!=": "is_not", "==": "is", "<": "below", ">": "above"}


def _definition(chart: ChartModel, state: StateModel) -> dict[str, Any]:
    inner = nesting.children(chart, state.id)
    given: dict[str, Any] = {
        "name": state.name,
        "initial": state.initial,
        "final": state.kind == "final",
        "parallel": state.kind == "parallel",
        "enter": list(state.entry),
        "exit": list(state.exit),
        "states": {child.id: _definition(chart, child) for child in inner if not child.is_history},
        "history": {child.id: _history(chart, child) for child in inner if child.is_history},
    }
    return {**given, **_events(chart, state)}


def _history(chart: ChartModel, state: StateModel) -> dict[str, Any]:
    depth = "deep" if state.kind == "deep history" else "shallow"
    return {"name": state.name, "type": depth, **_events(chart, state)}


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
        **_condition(question(edge.guard)),
        "on": list(edge.actions),
        "after": list(edge.after),
    }


def _condition(guard: str) -> dict[str, str]:
    """A negated name goes into `unless`: as an expression it would not compile."""
    negated = guard.removeprefix("not ")
    if negated != guard and negated.isidentifier():
        return {"unless": negated}
    return {"cond": guard} if guard else {}
