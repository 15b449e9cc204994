"""What is needed of python-statemachine beyond what its documentation promises, and whether the installed release has it.

python-statemachine documents no way to ask a chart class for its actions and guards. This package reads them from the objects that
the class is made of; `check` makes a state and a transition, and looks whether they have all that is read. Importing this package
works without such a piece. Binding or compiling a chart, and every tool, then raises an error that names it.
"""

import functools
import importlib.metadata
from collections.abc import Callable
from typing import Any, Final

SUPPORTED: Final = "python-statemachine>=3.2.2,<3.3"


class LackingError(ImportError):
    """The installed python-statemachine lacks what this package needs; the message names it, and what to install."""


@functools.cache
def check() -> None:
    """Raises: LackingError: the installed library lacks a piece."""
    if names := [name for name, is_there in PIECES.items() if not holds(is_there)]:
        raise lacking(", ".join(names))


def lacking(what: object) -> LackingError:
    """The error that says that *what* is missing."""
    installed = importlib.metadata.version("python-statemachine")
    named = str(what).partition(" (")[0]  # an import error ends with the path of its file
    return LackingError(
        f"python-statemachine {installed} lacks what this package needs ({named}): install {SUPPORTED!r}"
    )


try:
    from statemachine import HistoryState, State, StateChart  # noqa: F401 - the charts are declared with all of them
except ModuleNotFoundError:
    raise
except ImportError as error:  # a release of before 3, which has no charts
    raise lacking(error) from error


def holds(is_there: Callable[[], object]) -> bool:
    """Whether *is_there* finds what it looks for."""
    try:
        return bool(is_there())
    except Exception:  # a changed library may raise anything: the piece is not as it was
        return False


def _state() -> Any:
    return State("State", initial=True, enter="enter", exit="exit", invoke="invoke")


def _transition() -> Any:
    named: dict[str, str] = {name: name for name in (*_ACTIONS, "cond", "unless")}
    [transition] = _state().to(None, event="event", **named)
    return transition


def _callback(name: str) -> Any:
    """The attribute *name* of a guard, and of the same guard negated."""
    return [getattr(guard, name) for guard in _transition().cond]


def _counts(owner: Callable[[], Any], group: str) -> bool:
    """Whether *group* holds one callback: it was given one."""
    return len(list(getattr(owner(), group))) == 1


_ACTIONS: Final = ("validators", "before", "on", "after")

PIECES: Final[dict[str, Callable[[], object]]] = {
    **{f"State.{name}": functools.partial(_counts, lambda: _state(), name) for name in ("enter", "exit", "invoke")},
    "State.states": lambda: list(_state().states) == [],
    "State.history": lambda: list(_state().history) == [],
    "State.parent": lambda: _state().parent is None,
    "State.transitions": lambda: list(_state().transitions) == [],
    "State.is_history": lambda: _state().is_history is False,
    "HistoryState.type.is_deep": lambda: HistoryState(type="deep").type.is_deep is True,
    **{f"Transition.{name}": functools.partial(_counts, lambda: _transition(), name) for name in _ACTIONS},
    "Transition.cond": lambda: len(list(_transition().cond)) == 2,
    "Transition.events": lambda: [str(event) for event in _transition().events] == ["event"],
    "Transition.target": lambda: _transition().target is None,
    "Transition.targets": lambda: not any(_transition().targets),
    "Transition.initial": lambda: not _transition().initial,
    "Transition.internal": lambda: not _transition().internal,
    "Transition.is_eventless": lambda: _transition().is_eventless is False,
    "callback.func": lambda: _callback("func") == ["cond", "unless"],
    "callback.attr_name": lambda: _callback("attr_name") == ["cond", "unless"],
    "callback.expected_value": lambda: _callback("expected_value") == [True, False],
    "callback.is_convention": lambda: _callback("is_convention") == [False, False],
    "callback.is_event": lambda: _callback("is_event") == [False, False],
    "callback.may_contain_boolean_expression": lambda: all(_callback("may_contain_boolean_expression")),
}
"""Each piece by its name, with what finds it. `callback`: what a group such as `State.enter` holds."""
