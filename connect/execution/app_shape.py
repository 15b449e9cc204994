"""What apps look like, `[(client, [functions])]`, and words for what looks otherwise."""

import inspect
from types import ModuleType
from typing import Final, NamedTuple

import inngest

_PAIR: Final = "write (client, [functions])"


class Problem(NamedTuple):
    """What is wrong, and what to do about it. `is_inside`: the whole may be what the user meant, but a part of it is wrong."""

    text: str
    cure: str
    is_inside: bool = True


def problem(apps: object, name: str) -> Problem | None:
    """What is wrong with *apps*, which the user calls *name*; None: nothing. No text that they hold is shown."""
    if is_app(apps):
        return None
    if isinstance(apps, tuple) and any(isinstance(each, inngest.Inngest) for each in apps):
        return _problem_of_app(apps, name)
    if not isinstance(apps, list | tuple) or _holds_functions_alone(apps):
        return Problem(f"{name} is {kind(apps)}", "it must be a list of (client, [functions])", is_inside=False)
    if not apps:
        return Problem("no apps provided", "", is_inside=False)
    return next((_problem_of_app(app, f"{name}[{at}]") for at, app in enumerate(apps) if not is_app(app)), None)


def is_app(app: object) -> bool:
    """Whether *app* is one `(client, [functions])`."""
    match app:
        case (inngest.Inngest(), list() | tuple() as functions):
            return all(isinstance(each, inngest.Function) for each in functions)
    return False


def kind(value: object) -> str:
    """*value* in a user's words."""
    match value:
        case None:
            return "None"
        case inngest.Inngest():
            return f"a client (of app {value.app_id!r}) without functions"
        case inngest.Function():
            return f"one function ({value.id!r}) without its client"
        case list() | tuple() if _holds_functions_alone(value):
            return "a list of functions without their client"
        case ModuleType():
            return f"the module {value.__name__!r}"
        case type():
            return f"the class {value.__qualname__!r}"
        case str() | bytes():
            return "a text"
    if inspect.isroutine(value):
        return f"a Python function ({getattr(value, '__name__', '?')!r})"
    name, package = type(value).__qualname__, type(value).__module__.partition(".")[0]
    article = "an" if name[:1].lower() in "aeiou" else "a"
    return f"{article} {name}" + ("" if package in ("builtins", "__main__") else f" (of {package})")


def _holds_functions_alone(value: object) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(each, inngest.Function) for each in value)


def _problem_of_app(app: object, name: str) -> Problem:
    match app:
        case (inngest.Inngest(), list() | tuple() as functions):
            other = next(each for each in functions if not isinstance(each, inngest.Function))
            decorate = "decorate it with @client.create_function(…)"
            return Problem(
                f"{name} has {kind(other)} among its functions", decorate if inspect.isroutine(other) else _PAIR
            )
        case (inngest.Inngest(), *functions) if _holds_functions_alone(functions):
            return Problem(f"{name} has functions beside its client, not in a list", _PAIR)
        case (inngest.Inngest(), second):
            return Problem(f"{name} has {kind(second)} in place of a list of functions", _PAIR)
        case (inngest.Inngest(),):
            return Problem(f"{name} has a client, but no list of functions", _PAIR)
        case (list() | tuple(), inngest.Inngest()):
            return Problem(f"{name} has its client behind its functions", _PAIR)
    return Problem(f"{name} is {kind(app)}", _PAIR)
