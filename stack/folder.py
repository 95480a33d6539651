"""The folder of a stack: data, logs, and the files that name its processes."""

from __future__ import annotations

import os
import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stack.process_file import ProcessFile


@dataclass(frozen=True)
class StackFolder:
    """The folder of one stack, ``./var`` for ``scripts/up``. It holds prompts and passwords, for its owner alone."""

    root: Path

    def make_private(self) -> None:
        """Make the folder, and let its owner alone enter it."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o700)

    def secret(self, name: str) -> str:
        """Return a password of this stack, made at the first call."""
        self.make_private()
        path = self.root / f"{name}.secret"
        if not path.exists():
            write_private(path, secrets.token_hex(24))
        return path.read_text("ascii")

    def write_environment(self, variables: Mapping[str, str]) -> None:
        """Write the environment of a process that uses this stack without being a part of it, for a shell to read."""
        self.make_private()
        lines = (f"{name}={shlex.quote(value)}\n" for name, value in variables.items())
        write_private(self.root / "environment", "".join(lines))

    @property
    def log_folder(self) -> Path:
        """Return where the logs are."""
        return self.root / "log"

    def data(self, name: str) -> Path:
        """Return where a part keeps its data."""
        return self.root / name

    def log(self, name: str) -> Path:
        """Return where a part's output goes; a new start appends to it."""
        return self.log_folder / f"{name}.log"

    def process_file(self, name: str) -> ProcessFile:
        """The file that names a part's process."""
        return ProcessFile(self.root / "run" / f"{name}.pid")

    def process_files(self) -> list[ProcessFile]:
        """Return those of an earlier stack that was not stopped in order, the latest part first."""
        files = [ProcessFile(path) for path in (self.root / "run").glob("*.pid")]
        # The clock of a file system stands still for some milliseconds, in which process numbers go up.
        return sorted(files, key=lambda file: (file.path.stat().st_mtime_ns, file.read() or 0), reverse=True)

    @property
    def lock(self) -> ProcessFile:
        """Return the lock that a stack holds while it uses the folder."""
        return ProcessFile(self.root / "stack.lock")


def write_private(path: Path, text: str) -> None:
    """Write a file that no other user can read at any moment."""
    path.unlink(missing_ok=True)
    with open(path, "x", encoding="utf-8", opener=private) as file:
        file.write(text)


def private(path: str, flags: int) -> int:
    """An opener for ``open``: a file that it makes belongs to its user alone."""
    return os.open(path, flags, 0o600)
