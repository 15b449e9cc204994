"""Which box holds what, the same for every kind of picture."""

from statecharts.model import ChartModel, EdgeModel, StateModel


def children(chart: ChartModel, parent: str | None) -> list[StateModel]:
    """The states directly in *parent* (None: at top level), in the order of their declaration."""
    return [state for state in chart.states if state.parent == parent]


def arrows(chart: ChartModel, parent: str | None) -> dict[tuple[str, str], list[EdgeModel]]:
    """Transitions with the same two ends, for all pairs of ends whose innermost common box is *parent*."""
    shared: dict[tuple[str, str], list[EdgeModel]] = {}
    for edge in chart.edges:
        for target in edge.targets:
            if _holder(chart, edge.source, target) == parent:
                shared.setdefault((edge.source, target), []).append(edge)
    return shared


def is_start(state: StateModel) -> bool:
    """Whether a chart or a box begins in *state*. All regions of a parallel state begin together, so none of them is a start."""
    return state.initial and state.kind != "region"


def title(state: StateModel) -> str:
    """How a picture calls *state*. A history state is the H of the field's own drawings, a deep one H*."""
    letters = {"history": "H ", "deep history": "H* "}
    return letters.get(state.kind, "") + state.name


def ancestors(chart: ChartModel, state_id: str) -> list[str]:
    """The boxes around *state_id*, innermost first."""
    parent = chart.state(state_id).parent
    return [parent, *ancestors(chart, parent)] if parent else []


def path(chart: ChartModel, state_id: str) -> str:
    """The state's name behind those of its boxes."""
    return " · ".join(chart.state(box).name for box in (*reversed(ancestors(chart, state_id)), state_id))


def together(chart: ChartModel, one: str, other: str) -> bool:
    """Whether the two states lie in different regions of one parallel state."""
    holder = _holder(chart, one, other)
    return one != other and holder is not None and chart.state(holder).kind == "parallel"


def _holder(chart: ChartModel, source: str, target: str) -> str | None:
    around = ancestors(chart, target)
    return next((box for box in ancestors(chart, source) if box in around), None)
