"""How a transition is worded, the same in every picture and table."""

from statecharts.model import ChartModel, EdgeModel
from statecharts.tools.drawing.marks import Mark


def event(edge: EdgeModel) -> str:
    """The event's name; "(always)" for a transition that is tried after every event."""
    if edge.default:
        return "(at first)"
    return (edge.event or "(always)") + (" (internal)" if edge.internal else "")


def guard(chart: ChartModel, edge: EdgeModel) -> str:
    """The guard in brackets; "[else]" for a transition without one, behind others that have one; "" if it is the only candidate."""
    if edge.guard:
        return f"[{edge.guard}]"
    candidates = [other for other in chart.edges if (other.source, other.event) == (edge.source, edge.event)]
    before = candidates[: candidates.index(edge)]
    return "[else]" if before and all(other.guard for other in before) else ""


def actions(edge: EdgeModel) -> str:
    """The actions behind a slash, those that wait for the target's entry behind "/ then"; "" for none."""
    now = f"/ {', '.join(edge.actions)}" if edge.actions else ""
    later = f"/ then {', '.join(edge.after)}" if edge.after else ""
    return join(now, later)


def wording(chart: ChartModel, edge: EdgeModel) -> str:
    """The whole transition on a line, the chart's name first: how coverage, paths and mutants call it."""
    targets = ", ".join(edge.targets) or "(stays)"
    return f"{chart.name}: {edge.source} --{join(event(edge), guard(chart, edge))}--> {targets}"


def join(*words: str) -> str:
    """The non-empty *words*, a blank between them."""
    return " ".join(filter(None, words))


def signed(mark: Mark | None, text: str) -> str:
    """*text* with the mark's sign before it."""
    return f"{mark.sign} {text}" if mark else text
