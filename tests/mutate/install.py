"""Replaces a chart by a mutant in this process, as if the chart had been written that way.

Everything sees the changed chart, the tests too: paths that are derived from a chart are those of the mutant, so that none is found
wrong merely because it is not what it was.
"""

import sys
from collections.abc import Iterator
from typing import Any

import statecharts
from statecharts import model
from statecharts.model import ChartModel
from statecharts.tools.walking.mutants import Mutant, mutants
from statecharts.tools.walking.replica import replica

IDENTITY = "identity"
"""The name under which every chart is installed unchanged, as a mutant is: made anew from its model."""


def every_mutant() -> Iterator[Mutant]:
    """The mutants of all charts of this package."""
    for chart in statecharts.CHARTS:
        yield from mutants(model.read(chart))


def install(name: str) -> None:
    """Install the mutant of that name, or IDENTITY. To be called before `connect` is imported.

    Raises: LookupError: there is none. InvalidDefinition: the library refuses such a chart.
    """
    if "connect" in sys.modules:
        raise RuntimeError("too late: connect has been imported, and with it the charts as they are")
    plain = [model.read(chart) for chart in statecharts.CHARTS]
    changed = plain if name == IDENTITY else [mutant.chart for mutant in every_mutant() if mutant.name == name]
    if not changed:
        raise LookupError(f"no mutant {name!r}; `python -m tests.mutate --list` names them all")
    for chart in changed:
        _replace(next(own for own in statecharts.CHARTS if own.__name__ == chart.name), chart)


def _replace(chart: type[Any], changed: ChartModel) -> None:
    made = replica(changed)
    made.__module__, made.__doc__ = chart.__module__, chart.__doc__
    for module in [module for name, module in sys.modules.items() if name.partition(".")[0] == "statecharts"]:
        for name, value in list(vars(module).items()):
            if value is chart:
                setattr(module, name, made)
    everyone = tuple(made if own is chart else own for own in statecharts.CHARTS)
    setattr(statecharts, "CHARTS", everyone)  # noqa: B010 - typed as what it is elsewhere
