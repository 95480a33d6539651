"""CPU time and memory of a process and its children, as ``ps`` reports them."""

from __future__ import annotations

import subprocess
from pathlib import Path


def resident_mib(pid: int) -> float:
    """Resident memory of a process and its children, in MiB."""
    table = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,rss="], capture_output=True, text=True, check=True).stdout
    rows = [tuple(map(int, line.split())) for line in table.splitlines()]
    return round(sum(rss for own, parent, rss in rows if pid in {own, parent}) / 1024, 1)


def peak_mib(pid: int) -> float:
    """The largest resident memory that a process and its children, as far as they live, ever had, in MiB."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    return round(sum(_peak_kib(one) for one in (pid, *map(int, children))) / 1024, 1)


def _peak_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text("ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
