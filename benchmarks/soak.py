"""What the soak found: `make soak COUNT=1000000` measures it, with tests/soak, and saves it for the page."""

from benchmarks.results import Part


def section(part: Part) -> str:
    """One table, and what its columns are."""
    lines = [
        "Every kind of fault of tests/soak, one after the other, while 66 runs at a time are under way: links that break, "
        "drain, stall or fall silent, lost ACKs and replies, nacked leases, requests that come again, flushes that are "
        "refused, hang or come late. With `process` its processes are killed, too. *Lost*: accepted, and neither answered nor "
        "reported. *Twice*: executed again although its lease was not lost.",
        "",
        "| isolation | requests | lost | twice | faults | processes killed | leases lost | requests/s | RSS early | at the end |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for each in part.figures:
        cells = (
            f"`{each['isolation']}`",
            *(f"{each[name]:,}" for name in ("requests", "lost", "twice")),
            f"{sum(each['faults'].values()):,}",
            *(f"{each[name]:,}" for name in ("killed", "leases_lost")),
            f"{each['requests'] / each['seconds']:,.0f}",
            *(f"{each[name] / 2**20:.0f} MiB" for name in ("rss_early", "rss_late")),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, "", *_faults(part)])


def _faults(part: Part) -> list[str]:
    """A table of the faults by kind, with a column for each isolation."""
    isolations = [f"`{each['isolation']}`" for each in part.figures]
    counts = [each["faults"] for each in part.figures]
    kinds = sorted(set().union(*counts))
    rows = [[kind, *(f"{of.get(kind, 0):,}" for of in counts)] for kind in kinds]
    table = [["faults", *isolations], ["---"] * (1 + len(isolations)), *rows]
    return [f"| {' | '.join(row)} |" for row in table]
