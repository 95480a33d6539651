"""The access log of gunicorn, in which no client writes long lines."""

from __future__ import annotations

from typing import Any

from gunicorn.glogging import Logger

from tasks.logs import shortened

MAX_FIELD_CHARACTERS = 1_000


class AccessLog(Logger):  # type: ignore[misc]
    """Cuts what a client chose, each field by itself, so that the status behind a long path is still there."""

    def atoms(self, *request: Any) -> dict[str, Any]:
        """The fields of a line."""
        atoms: dict[str, Any] = super().atoms(*request)
        return {
            name: shortened(value, MAX_FIELD_CHARACTERS) if isinstance(value, str) else value
            for name, value in atoms.items()
        }
