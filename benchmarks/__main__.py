"""All benchmarks, or those that are named: `python -m benchmarks [fleet …]`. All of them take about two hours; each has options of
its own as `python -m benchmarks.fleet`.

Each measures, saves its results and prints them; at the end docs/performance.md and docs/scale.md are written.
"""

import argparse
import asyncio
from typing import Final

from benchmarks import (
    drain,
    fleet,
    idle,
    imports,
    inflight,
    lifecycle,
    memory,
    page,
    punctual,
    scale,
    summary,
    throughput,
)
from benchmarks.results import save

PARTS: Final = {
    "throughput": throughput,
    "idle": idle,
    "imports": imports,
    "punctual": punctual,
    "inflight": inflight,
    "memory": memory,
    "lifecycle": lifecycle,
    "drain": drain,
    "fleet": fleet,
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("parts", nargs="*", metavar="part", help=f"{', '.join(PARTS)}; default: all")
    parts = parser.parse_args().parts or list(PARTS)
    if unknown := [name for name in parts if name not in PARTS]:
        parser.error(f"there is no part {', '.join(unknown)}: choose from {', '.join(PARTS)}")
    for name in parts:
        found = asyncio.run(PARTS[name].run())
        save(name, found)
        print(PARTS[name].section(found), end="\n\n", flush=True)
    page.write()
    scale.write()
    summary.write(page.measured_so_far())
