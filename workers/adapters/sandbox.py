"""The bounds of a process that reads one file: what it may open, how much memory it may take, and for how long.

Linux keeps all of them. Elsewhere the limits of POSIX hold alone, where the system keeps them.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

OPEN_FILES = 64
PARENT_DEATH_SIGNAL, NO_NEW_PRIVILEGES = 1, 38
"""Of ``prctl``, as ``linux/prctl.h`` numbers them."""
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""System calls of Landlock, numbered alike on every architecture (https://docs.kernel.org/userspace-api/landlock.html)."""
READ_FILE, READ_FOLDER = 1 << 2, 1 << 3
BENEATH_PATH = 1


@dataclass(frozen=True)
class Limits:
    """The limits of a process that reads a file.

    Attributes:
        memory_bytes: what it may take beyond what it has, and the size of what it may write.
        cpu_s: seconds of computing after which the kernel ends it.
    """

    memory_bytes: int
    cpu_s: int


def confine(file: Path, limits: Limits) -> None:
    """Take from this process, for good, all that reading this file does not need.

    Raises:
        OSError: the kernel refuses; then the process must not go on.
    """
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_CPU, limits.cpu_s)
    limit(resource.RLIMIT_FSIZE, limits.memory_bytes)
    limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    limit(resource.RLIMIT_NPROC, 0)
    if sys.platform == "linux":
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")  # the kernel ends it before any other process
        limit(resource.RLIMIT_AS, limits.memory_bytes + address_space())
        libc = ctypes.CDLL(None, use_errno=True)
        require(libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0))
        restrict_files(libc, file, installed_packages())


def end_with_parent(parent: int) -> None:
    """Let the kernel end this process when its parent ends."""
    if sys.platform == "linux":
        require(ctypes.CDLL(None, use_errno=True).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0))
    if os.getppid() != parent:
        os._exit(0)


def limit(kind: int, value: int) -> None:
    """Lower a limit of this process for good."""
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def address_space() -> int:
    """Bytes of addresses that this process has now."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    return pages * resource.getpagesize()


def installed_packages() -> set[Path]:
    """The folders of Python's own modules and of installed packages: diffusers imports some of its modules late."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return {path.resolve() for name in names if (path := Path(sysconfig.get_path(name))).exists()}


def landlock_version(libc: ctypes.CDLL) -> int:
    """Return the version of Landlock that this kernel has; 0 if it has none, or does not use it."""
    return max(0, int(libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))))


def restrict_files(libc: ctypes.CDLL, file: Path, folders: Iterable[Path]) -> None:
    """Let this process open nothing but one file and what lies in these folders, for reading; connect to nothing, and
    signal no process. What an older kernel does not know is left out.

    Raises:
        OSError: the kernel refuses.
    """
    version = landlock_version(libc)
    if not version:
        return
    access = (1 << (13 + (version >= 2) + (version >= 3) + (version >= 5))) - 1
    network = 0b11 if version >= 4 else 0
    scope = 0b11 if version >= 6 else 0
    asked = struct.pack("=QQQ", access, network, scope)
    rules = require(libc.syscall(CREATE_RULESET, asked, ctypes.c_size_t(len(asked)), ctypes.c_uint32(0)))
    allow(libc, rules, file, READ_FILE)
    for folder in folders:
        allow(libc, rules, folder, READ_FILE | READ_FOLDER)
    require(libc.syscall(RESTRICT_SELF, rules, ctypes.c_uint32(0)))
    os.close(rules)


def allow(libc: ctypes.CDLL, rules: int, path: Path, access: int) -> None:
    """Add a path to what may be used.

    Raises:
        OSError: it is not there, or the kernel refuses.
    """
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", access, place)
        require(libc.syscall(ADD_RULE, rules, BENEATH_PATH, rule, ctypes.c_uint32(0)))
    finally:
        os.close(place)


def require(result: int) -> int:
    """Return what a system call has returned.

    Raises:
        OSError: it failed.
    """
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
