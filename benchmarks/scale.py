"""Writes docs/scale.md and its plots from the saved results of benchmarks/fleet.py: `python -m benchmarks.scale`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks import fleet
from benchmarks.fleet import Run
from benchmarks.results import FOLDER, Part, load
from benchmarks.simulation.fleet import GROUPS, RTT
from benchmarks.simulation.policies import POLICIES, SWEEP
from benchmarks.simulation.scenarios import SCENARIOS
from benchmarks.svg import Series, chart
from connect.backoff import AT_ONCE_JITTER, AT_ONCE_MOST, AT_ONCE_WINDOW, LIMIT, OFTEN, RARELY, TABLE

DOCS: Final = Path(__file__).parent.parent / "docs"
PLOTTED: Final = ("outage", "blip", "drain", "brown-out")
"""Scenarios with plots of their own; the others are tables."""
GOAL: Final = 2.0
"""Seconds within which 99 % should be back, once the server is."""

INTRODUCTION: Final = """\
# A fleet that loses its server

What happens when {workers:,} workers lose a gateway, or everything, at once? Nobody has so many machines to try it on, so this is
a simulation. But the workers are real: each runs the code of this repository, `Connection` and its charts, `Link`, `Dialler`,
`Backoff`, `Outbox`. They are given another network ([network.py](../connect/transport/network.py)), and a loop whose clock is
virtual ([clock.py](../benchmarks/simulation/clock.py)): nothing sleeps, and no socket is opened. `python -m benchmarks fleet`
runs it anew and writes this page: {runs} runs, {hours:.1f} hours in the life of a fleet, {minutes:.0f} minutes of CPU, at most
{rss:,.0f} MB. So that it is no more, the charts are stepped by a table ([engine.py](../benchmarks/simulation/engine.py)): through
python-statemachine a failed attempt costs 4.7 ms of CPU, most of it for making the chart of its link, and a heartbeat 0.5 ms; with
the table it is 0.25 and 0.06 ms (in a fleet of 200). A property test holds the table to the library, event by event.

**The model of the server** ([region.py](../benchmarks/simulation/region.py)). The API takes {starts:,.0f} start requests a
second, one after the other, and {flushes:,.0f} flushes; at five seconds' worth of waiting requests it answers 503. There are
{groups} gateway groups, and each accepts {accepts:,.0f} connections a second. Round trips take {low:.0f} to {high:.0f} ms,
each worker has its own; a connection takes one for TCP, one for TLS, one for the request, and then the handshake. These
capacities are assumptions: one start request a second for each worker; where a table has fewer workers, the server takes as
much less. *weak* shows what a tenth of it does. A dead process refuses connections; *silence* shows a network that swallows
them: kernels try again after 1, 3 and 7 s, and the worker gives up after 10.

**The waits** ([policies.py](../benchmarks/simulation/policies.py)). Only they differ: all of them drive our worker, which replaces
a drained link before it closes the old one, and keeps replies until they are delivered; the official clients do neither
(PROTOCOL.md §13). *Ours* is [backoff](decisions/backoff.md), the others are as PROTOCOL.md §11.2 has them. Those
that a table does not list were not tried.

**The figures.** *Without a route*: the seconds in which no work could be sent to a worker, from the moment on when the server
is back; with drains, the brown-out and the deploy from the beginning. *Most/s*: in the busiest tenth of a second, times ten.
A worker that a drain moves to a group that drains next moves again. *Refused*: start requests and flushes, with 503 or 429.
*Requests that waited*: as many arrive as keep {load:.0%} of the fleet busy, and each worker serves {rate:g} a second; this is
the longest queue from that same moment on, and *until* says for how long there was one. What piled up while the server was
away is the same for all, and left out. Every worker had {each} executions in flight at the beginning; *replies lost* are
those of them that never reached the server. A worker that gives up still tries to deliver them for a minute, and dials for
that."""

SWEEP_TEXT: Final = """\
## Other constants

*blip* again, with {workers:,} workers and other ranges for the wait while nothing is there. Its mean decides how many start
requests come at once: more than the server takes bring no worker back sooner. Its end decides how long the last workers wait.
"""

WHY: Final = f"""\
## What the figures decided

- **{OFTEN[0]:g} to {OFTEN[1]:g} s while nothing is there.** One worker is back within a second of its server, if
  that is near. A fleet asks for two start requests a second and worker then (*blip*), for half a second: more than this server
  takes, but its queue holds that.
- **{RARELY[0]:g} to {RARELY[1]:g} s after a minute** (*outage*). Now the attempts of the fleet stay below what the server
  takes, and it needs no queue. With 1 to 2 s the last of 99 % are later than the goal: see *Other constants*.
- **Full jitter up to {TABLE[-1]:g} s for a server that is there and ailing** (*weak*, *brown-out*, *failing*). The server is kept
  at its limit until all are back, and what it refuses costs it little. A table up to 60 s (ours of before) brings the last
  workers of *failing* back three times as late, for a tenth fewer start requests.
- **Where ours is not the first.** After 503s (*failing*) fixed waits of 5 s are back sooner, but ask the API all at once, in a
  tenth of a second. After a raised limit (*limit*) they are, too, for six times as many refusals; so are the last of *weak*. Groups
  that drain ask for a little more than the API takes (*drain*), for a tenth of a second.
- **{LIMIT[0]:g} to {LIMIT[1]:g} s at a plan's limit** (*limit*). Only people can raise it, and each attempt costs the API
  something. It is also how long a worker may stay away once the limit is raised; a restart is quicker.
- **0 to {AT_ONCE_JITTER:g} s for a lost link, {AT_ONCE_MOST} times in {AT_ONCE_WINDOW:g} s** (*drain*, *brown-out*). Without
  jitter a group's workers come within the spread of their round trips: see the peak of the JavaScript table."""


def write(docs: Path = DOCS, folder: Path = FOLDER) -> None:
    """Write the page and its plots, if there are results."""
    part = load("fleet", folder)
    if part is None:
        return
    every = [Run(**each) for each in part.figures]
    runs = [each for each in every if each.policy in POLICIES]
    chapters = []
    for name, scenario in SCENARIOS.items():
        of = [each for each in runs if each.scenario == name]
        if of:
            pictures = _plot(docs, name, scenario.title, of) if name in PLOTTED else []
            chapters.append("\n\n".join([_heading(name, of, runs), *pictures, fleet.table(of)]))
    (docs / "scale.md").write_text(
        "\n\n".join([_introduction(runs), _goal(runs), *chapters, *_sweep(every), WHY, _where(part)]) + "\n"
    )


def _heading(name: str, of: Sequence[Run], runs: Sequence[Run]) -> str:
    title, few = SCENARIOS[name].title, of[0].workers < max(each.workers for each in runs)
    return f"## {title[0].upper()}{title[1:]}{f', {of[0].workers:,} workers' if few else ''} (*{name}*)"


def _sweep(runs: Sequence[Run]) -> list[str]:
    of = [each for each in runs if each.policy in SWEEP]
    return [SWEEP_TEXT.format(workers=of[0].workers) + "\n" + fleet.table(of)] if of else []


def _introduction(runs: Sequence[Run]) -> str:
    workers = max(each.workers for each in runs)
    strength = fleet.strength(workers)
    return INTRODUCTION.format(
        workers=workers,
        runs=len(runs),
        hours=sum(each.lived for each in runs) / 3600,
        minutes=sum(each.cpu for each in runs) / 60,
        rss=max(each.rss for each in runs) / 1e6,
        starts=strength.starts,
        flushes=strength.flushes,
        accepts=strength.accepts,
        groups=GROUPS,
        low=RTT[0] * 1e3,
        high=RTT[1] * 1e3,
        load=fleet.LOAD,
        rate=fleet.RATE,
        each=fleet.EACH,
    )


def _goal(runs: Sequence[Run]) -> str:
    """Which policies have 99 % back in time after a region's outage, without asking more than the server takes."""
    lines = [
        "## The goal",
        f"In *outage*, below: 99 % back within {GOAL:g} s of the server's return, *and* a peak of start requests at or below "
        "what the server takes:",
        "| waits | 99 % back | within 2 s | start requests: most/s | what the server takes | both |\n|---|---|---|---|---|---|",
    ]
    rows = []
    for each in (run for run in runs if run.scenario == "outage"):
        most = fleet.strength(each.workers).starts
        in_time, spread = each.away[2] <= GOAL, each.start_peak <= most
        back = fleet.seconds(each.away[2])
        marks = ("yes" if in_time else "no", "**yes**" if in_time and spread else "no")
        rows.append(
            f"| {POLICIES[each.policy].title} | {back} | {marks[0]} | {each.start_peak:,.0f} | {most:,.0f} | {marks[1]} |"
        )
    return "\n\n".join([*lines[:2], "\n".join([lines[2], *rows])])


def _plot(docs: Path, name: str, title: str, runs: Sequence[Run]) -> list[str]:
    """Two plots: who is back, and what is asked of the API."""
    pictures = {
        f"scale-{name}-routable": chart(
            f"{title}: workers that take work",
            "seconds" if not SCENARIOS[name].since else "seconds; the server is back at 5",
            "percent of the fleet",
            [Series(POLICIES[each.policy].title, each.routable) for each in runs],
        ),
        f"scale-{name}-starts": chart(
            f"{title}: start requests",
            "seconds" if not SCENARIOS[name].since else "seconds; the server is back at 5",
            "start requests in each second",
            [Series(POLICIES[each.policy].title, [at for at in each.starts if at[0] <= fleet.SHOWN]) for each in runs],
        ),
    }
    for picture, drawing in pictures.items():
        (docs / f"{picture}.svg").write_text(drawing)
    return [f"![{picture}]({picture}.svg)" for picture in pictures]


def _where(part: Part) -> str:
    of = part.conditions
    where = f"{of['date']}; {of['machine']}; {of['versions']}; `{of['command']}`"
    return f"*{where}. Of these figures only CPU and memory depend on the machine.*"


if __name__ == "__main__":
    write()
