"""One form for the log lines of every process."""

from __future__ import annotations

import logging

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def configure_logging(level: str) -> None:
    """Write log lines of at least this level to standard error."""
    logging.basicConfig(level=level, format=FORMAT)
