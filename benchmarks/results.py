"""The results of the benchmarks: saved as JSON, with the date, machine and versions. page.py makes the page from them."""

import argparse
import asyncio
import json
import os
import platform
import statistics
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent / "results"
PACKAGES: Final = ("aiohttp", "inngest", "protobuf", "statechart-connect", "uvloop", "websockets")


@dataclass(frozen=True)
class Part:
    """The results of one program. *conditions*: when, where and how they were measured."""

    conditions: dict[str, str]
    figures: Any

    def median(self, figure: str, **where: str) -> float:
        """The median of *figure* over the samples that have these values; `figures` must be a list of samples."""
        return statistics.median(float(each[figure]) for each in self.figures if where.items() <= each.items())


def spread(ratios: Sequence[float]) -> str:
    """The median, the lowest and the highest."""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} … {max(ratios):.2f})" if ratios else "-"


def conditions(command: str) -> dict[str, str]:
    """The date, the machine, its load at the end, the versions, and the command."""
    python = f"Python {platform.python_version()}"
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{os.cpu_count()} cores, {_processor()}, {platform.system()} {platform.machine()}, {python}",
        "load": f"{os.getloadavg()[0]:.1f} at the end, the benchmark's own included",
        "versions": ", ".join(f"{name} {installed(name)}" for name in PACKAGES),
        "command": command,
    }


def _processor() -> str:
    """The processor's name, if the system has it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "processor unknown"
    return next((line.split(": ", 1)[1] for line in lines if line.startswith("model name")), "processor unknown")


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"


def save(name: str, part: Part, folder: Path = FOLDER) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.json").write_text(
        json.dumps({"conditions": part.conditions, "figures": part.figures}, indent=1) + "\n"
    )


def load(name: str, folder: Path = FOLDER) -> Part | None:
    """The saved results of the part *name*; None: there are none yet."""
    file = folder / f"{name}.json"
    return Part(**json.loads(file.read_text())) if file.exists() else None


def measured(
    name: str,
    parser: argparse.ArgumentParser,
    run: Callable[..., Coroutine[Any, Any, Part]],
    section: Callable[[Part], str],
) -> None:
    """The command line of a part: *run* it with the arguments that *parser* reads, and print its *section* of the page."""
    parser.add_argument("--save", action="store_true", help="keep the results for the page")
    options = vars(parser.parse_args())
    keep = options.pop("save")
    part = asyncio.run(run(**options))
    print(section(part))
    if keep:
        save(name, part)
