"""All benchmarks: `python -m benchmarks` measures each part, saves its results and writes docs/performance.md. About 40 minutes."""

import asyncio

from benchmarks import idle, imports, inflight, lifecycle, memory, page, punctual, summary, throughput
from benchmarks.results import save

if __name__ == "__main__":
    for name, part in (
        ("throughput", throughput),
        ("idle", idle),
        ("imports", imports),
        ("punctual", punctual),
        ("inflight", inflight),
        ("memory", memory),
        ("lifecycle", lifecycle),
    ):
        found = asyncio.run(part.run())
        save(name, found)
        print(part.section(found), end="\n\n", flush=True)
    page.write()
    summary.write(page.measured_so_far())
