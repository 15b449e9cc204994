"""What a worker uses: CPU, memory and context switches, of its process and of the processes that it started."""

import contextlib
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Usage:
    """CPU seconds so far and memory now, in bytes: of the process that has the connection, and of all processes of a worker.

    `switches` counts the context switches of all threads so far: each wait ends in one, and so does losing the core to another.
    """

    connection_cpu: float
    whole_cpu: float
    connection_rss: int
    whole_rss: int
    switches: int


def used(pid: int) -> Usage:
    """What the worker whose process is *pid* has used so far."""
    parent = psutil.Process(pid)
    cpu, rss, switches = _of_process(parent)
    children = [_of_process(child) for child in parent.children(recursive=True)]
    return Usage(
        connection_cpu=cpu,
        whole_cpu=cpu + sum(each for each, _, _ in children),
        connection_rss=rss,
        whole_rss=rss + sum(each for _, each, _ in children),
        switches=switches + sum(each for _, _, each in children),
    )


def _of_process(process: psutil.Process) -> tuple[float, int, int]:
    with contextlib.suppress(psutil.NoSuchProcess, OSError):
        return cpu_seconds(process.pid), process.memory_info().rss, _context_switches(process)
    return 0.0, 0, 0


def _context_switches(process: psutil.Process) -> int:
    """Of all its threads: on Linux psutil counts those of the main thread alone."""
    threads = list(Path(f"/proc/{process.pid}/task").glob("*/status"))
    if not threads:
        return sum(process.num_ctx_switches())
    lines = (line for thread in threads for line in thread.read_text().splitlines())
    return sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)


def cpu_seconds(pid: int) -> float:
    """CPU seconds that a process and its threads have used, by the kernel's clock for it: psutil counts in hundredths."""
    if sys.platform == "linux":
        return time.clock_gettime(~pid << 3 | 2)
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system
