"""Where a stack keeps what it needs: data, logs, and the files that name its processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stack.process_file import ProcessFile


@dataclass(frozen=True)
class StackFolder:
    """The folder of one stack, ``./var`` for ``scripts/up``."""

    root: Path

    @property
    def log_folder(self) -> Path:
        """Where the logs are."""
        return self.root / "log"

    def data(self, name: str) -> Path:
        """Where a part keeps its data."""
        return self.root / name

    def log(self, name: str) -> Path:
        """Where a part's output goes; a new start appends to it."""
        return self.log_folder / f"{name}.log"

    def process_file(self, name: str) -> ProcessFile:
        """The file that names a part's process."""
        return ProcessFile(self.root / "run" / f"{name}.pid")

    def process_files(self) -> list[ProcessFile]:
        """Those of an earlier stack that was not stopped in order, the part that started last first."""
        paths = (self.root / "run").glob("*.pid")
        return [ProcessFile(path) for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns, reverse=True)]

    @property
    def lock(self) -> ProcessFile:
        """Held by the stack that works here."""
        return ProcessFile(self.root / "stack.lock")
