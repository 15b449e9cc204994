"""How a transition is worded, the same in every picture and table."""

from statecharts.model import ChartModel, EdgeModel


def event(edge: EdgeModel) -> str:
    """The event's name; "(always)" for a transition that is tried after every event."""
    return edge.event or "(always)"


def guard(chart: ChartModel, edge: EdgeModel) -> str:
    """The guard in brackets; "[else]" for what is left to a later candidate without one; "" where there is nothing to choose."""
    if edge.guard:
        return f"[{edge.guard}]"
    candidates = [other for other in chart.edges if (other.source, other.event) == (edge.source, edge.event)]
    return "[else]" if candidates.index(edge) else ""


def actions(edge: EdgeModel) -> str:
    """The actions behind a slash; "" for none."""
    return f"/ {', '.join(edge.actions)}" if edge.actions else ""


def join(*words: str) -> str:
    """The non-empty *words*, a blank between them."""
    return " ".join(filter(None, words))
