"""A shortest way to each transition of a chart, as Markdown."""

from collections.abc import Iterator
from typing import Any

from statemachine import StateChart
from statemachine.exceptions import InvalidDefinition

from statecharts import model
from statecharts.model import ChartModel, EdgeModel
from statecharts.tools.drawing import labels, nesting
from statecharts.tools.drawing.markdown import row, rule
from statecharts.tools.load import UnusableError
from statecharts.tools.walking import paths
from statecharts.tools.walking.naming import declared
from statecharts.tools.walking.paths import EndlessError, Graph, Move, Route
from statecharts.tools.walking.replica import atoms


def render(chart: type[StateChart[Any]]) -> str:
    """The page. Raises: UnusableError: the library does not take a replica of *chart*, or it never comes to rest."""
    plain = model.read(chart)
    try:
        begun = paths.beginning(chart)
        graph, routes = paths.explore(chart)
    except InvalidDefinition as error:
        raise UnusableError(f"{plain.name} cannot be walked: {' '.join(str(error).split())}") from None
    except EndlessError:
        raise UnusableError(f"{plain.name} cannot be walked: its eventless transitions never come to rest") from None
    found = {**shortest(graph, routes), **dict.fromkeys(begun.taken, ())}
    return "\n".join(_lines(plain, found, len(graph))) + "\n"


def shortest(graph: Graph, routes: dict[paths.Configuration, Route]) -> dict[str, Route]:
    """For each transition that can be taken, by its wording: the moves from the beginning up to the one that takes it."""
    found: dict[str, Route] = {}
    for here in sorted(routes, key=lambda place: len(routes[place])):
        for move, arrival in graph[here].items():
            for wording in sorted(arrival.taken):
                found.setdefault(wording, (*routes[here], move))
    return found


def _lines(chart: ChartModel, found: dict[str, Route], configurations: int) -> Iterator[str]:
    edges = declared(chart)
    yield f"# {chart.name}: a way to every transition\n"
    taken = sum(labels.wording(chart, edge) in found for edge in edges)
    yield f"{configurations} configurations; {taken} of {len(edges)} transitions can be taken.\n"
    yield f"{_HOW_TO_READ}\n"
    yield row("state", "event", "guard", "target", "shortest route")
    yield rule(5)
    names = {name: text for edge in chart.edges for text, name in atoms(edge.guard).items()}
    for edge in edges:
        yield _row(chart, edge, found.get(labels.wording(chart, edge)), names)


_HOW_TO_READ = (
    "A route is the events from the beginning, each with the guards that are true when it comes; all others are false."
)


def _row(chart: ChartModel, edge: EdgeModel, route: Route | None, names: dict[str, str]) -> str:
    targets = ", ".join(nesting.path(chart, target) for target in edge.targets) or "stays"
    way = "**none**" if route is None else ", ".join(_move(move, names) for move in route) or "(at the beginning)"
    guard = labels.guard(chart, edge).strip("[]")
    return row(nesting.path(chart, edge.source), f"`{labels.event(edge)}`", guard, targets, way)


def _move(move: Move, names: dict[str, str]) -> str:
    truths = ", ".join(sorted(names.get(guard, guard) for guard in move.truths))
    return labels.join(f"`{move.event or '(anything)'}`", f"[{truths}]" if truths else "")
