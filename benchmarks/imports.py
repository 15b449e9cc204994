"""What imports cost: the time and memory of processes that import one thing and end.

`python -m benchmarks.imports [--rounds 15]`, about a minute. In each round every process is started once, one after the other.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import IO, Final, cast

import psutil

from benchmarks.results import Part, conditions, measured
from benchmarks.subjects import environment

IMPORTS: Final = {
    "Python alone": "pass",
    "the SDK": "import inngest",
    "the SDK and its Connect client": "import inngest.connect",
    "the SDK and ours": "import inngest; from connect import connect",
    "the SDK and aiohttp": "import inngest, aiohttp",
    "the SDK and aiohttp, as ours imports it": "import inngest, connect.late_certificates",
    "the SDK and protobuf": "import inngest, google.protobuf.descriptor_pool",
    "the SDK and python-statemachine": "import inngest, statemachine",
    "the SDK and tenacity": "import inngest, tenacity",
    "the SDK, and this machine's certificates loaded once": "import inngest, ssl; ssl.create_default_context()",
    "the SDK, and uvloop": "import inngest, uvloop",
    "the SDK, and the command `run`": "import inngest, connect.cli.run",
}
BASE: Final = "the SDK"
OFFICIAL: Final = "the SDK and its Connect client"
_WAIT: Final = "\nprint(flush=True); input()"


@dataclass(frozen=True)
class Sample:
    """One process: seconds from its start to the end of its imports, and its memory then, in bytes."""

    what: str
    seconds: float
    rss: int


def once(what: str) -> Sample | None:
    """Measure one process. Returns None if *what* cannot be imported here."""
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-c", IMPORTS[what] + _WAIT],
        env=environment(""),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        stdout = cast(IO[bytes], process.stdout)
        if not stdout.readline():
            return None
        seconds = time.monotonic() - began
        sample = Sample(what, seconds, psutil.Process(process.pid).memory_info().rss)
        process.communicate(b"\n")
    return sample


def section(part: Part) -> str:
    """One table."""
    lines = [
        "| a process that imports | takes | beyond the SDK | to the official client | memory | beyond the SDK |",
        "|---|---|---|---|---|---|",
    ]
    for what in dict.fromkeys(each["what"] for each in part.figures):
        seconds, rss = part.median("seconds", what=what), part.median("rss", what=what)
        more, larger = seconds - part.median("seconds", what=BASE), rss - part.median("rss", what=BASE)
        ratio = seconds / part.median("seconds", what=OFFICIAL)
        lines.append(
            f"| {what} | {seconds * 1e3:,.0f} ms | {more * 1e3:+,.0f} ms | {ratio:.2f} "
            f"| {rss * 2**-20:.1f} MiB | {larger * 2**-20:+.1f} MiB |"
        )
    return "\n".join(lines)


async def run(rounds: int = 15, imports: Sequence[str] = tuple(IMPORTS)) -> Part:
    for what in imports:
        once(what)  # so that the measured ones find everything compiled
    samples = [sample for _ in range(rounds) for what in imports if (sample := once(what))]
    return Part(conditions(f"python -m benchmarks.imports --rounds {rounds}"), [asdict(each) for each in samples])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    measured("imports", parser, run, section)


if __name__ == "__main__":
    main()
