"""The user's request to a running stack."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from types import FrameType


@dataclass
class StopRequest:
    """Ctrl-C or SIGTERM asks the stack to stop; a second one means at once.

    Plain flags, looked at a few times a second: a signal handler must take no lock that the interrupted code may hold.
    """

    asked: bool = False
    urgent: bool = False

    def heed_signals(self) -> None:
        """Take SIGINT and SIGTERM as requests from now on."""
        signal.signal(signal.SIGINT, self.on_signal)
        signal.signal(signal.SIGTERM, self.on_signal)

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """Note a signal."""
        self.urgent = self.asked
        self.asked = True
