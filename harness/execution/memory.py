"""How much memory is free, and how much a process holds; None where the system does not tell."""

from __future__ import annotations

import os
import re
import resource
import sys
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def available_mb() -> float | None:
    """What new processes can take: of the machine, or less of the container they are in."""
    try:
        text = Path("/proc/meminfo").read_text()
        free = float(re.findall(r"MemAvailable:\s+(\d+) kB", text)[0]) / 1024
    except (OSError, IndexError):
        return None
    try:
        most = float((_CGROUP / "memory.max").read_text())
        used = float((_CGROUP / "memory.current").read_text())
    except (OSError, ValueError):  # no container, or one without a limit: "max"
        return free
    return min(free, (most - used) / 2**20)


def resident_mb(process: int) -> float:
    """What a process holds now; 0 if it is gone, or where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def peak_mb() -> float:
    """The most that this process has held."""
    return _peak_mb(resource.RUSAGE_SELF)


def children_peak_mb() -> float:
    """The most that any of its processes has held that has ended."""
    return _peak_mb(resource.RUSAGE_CHILDREN)


def _peak_mb(whose: int) -> float:
    peak = resource.getrusage(whose).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 1024
