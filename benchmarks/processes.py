"""What a process and its children take, as ``ps`` tells it."""

from __future__ import annotations

import subprocess


def resident_mib(pid: int) -> float:
    """Resident memory of a process and its children, in MiB."""
    table = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,rss="], capture_output=True, text=True, check=True).stdout
    rows = [tuple(map(int, line.split())) for line in table.splitlines()]
    return round(sum(rss for own, parent, rss in rows if pid in {own, parent}) / 1024, 1)
