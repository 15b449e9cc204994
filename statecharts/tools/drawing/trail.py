"""A chart's picture with a walk marked in it, and the walk beside it: for the message of a test that fails."""

from collections.abc import Collection, Sequence

from statecharts.model import ChartModel, EdgeModel, StateModel
from statecharts.tools.drawing import labels, mermaid
from statecharts.tools.drawing.marks import PASSED, Mark


def render(chart: ChartModel, walk: Sequence[Collection[str]]) -> str:
    """The steps of *walk*, each the transitions that it took by their wording (see `labels`), and the Mermaid picture of *chart*
    with them and the states between them marked.
    """
    steps = [f"{number:>3}  {' + '.join(sorted(taken))}" for number, taken in enumerate(walk, 1)]
    return "\n".join([f"{chart.name}, step by step:", *steps, mermaid.render(chart, marks(chart, walk))])


def marks(chart: ChartModel, walk: Sequence[Collection[str]]) -> dict[StateModel | EdgeModel, Mark]:
    """What *walk* passed."""
    taken = [edge for edge in chart.edges if any(labels.wording(chart, edge) in step for step in walk)]
    ends = {state for edge in taken for state in (edge.source, *edge.targets)}
    return {**dict.fromkeys(taken, PASSED), **{chart.state(state): PASSED for state in ends}}
