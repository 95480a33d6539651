"""A Valkey of a test's own, which loses what it was told last, as after a loss of power."""

from __future__ import annotations

import shutil
from pathlib import Path

from stack.folder import StackFolder
from stack.parts import Parts
from stack.valkey import valkey_part, valkey_url


class ForgetfulValkey:
    """Remembers one moment, and goes back to it.

    Args:
        folder: where it works.
        port: where it listens.
    """

    def __init__(self, folder: Path, port: int) -> None:
        stack = StackFolder(folder / "forgetful")
        self.url = valkey_url(port)
        self._data = stack.data("valkey")
        self._moment = folder / "moment"
        self._parts = Parts(stack)
        self._parts.start([valkey_part(self._data, port)])

    def remember(self) -> None:
        """Keep the append-only file as it is now: a write is in it before it is answered."""
        shutil.copytree(self._data, self._moment)

    def forget(self) -> None:
        """Lose power, and come back with the append-only file of the remembered moment."""
        part = self._parts.kill("valkey")
        shutil.rmtree(self._data)
        shutil.move(self._moment, self._data)
        self._parts.start([part])

    def flush(self) -> None:
        """Lose power and the disk with it."""
        part = self._parts.kill("valkey")
        shutil.rmtree(self._data)
        self._data.mkdir()
        self._parts.start([part])

    def stop(self) -> None:
        """Stop for good."""
        self._parts.stop()
