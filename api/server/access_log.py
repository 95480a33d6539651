"""The access log of gunicorn, with lines of bounded length."""

from __future__ import annotations

from typing import Any

from gunicorn.glogging import Logger

from tasks.logs import shortened

MAX_FIELD_CHARACTERS = 1_000


class AccessLog(Logger):  # type: ignore[misc]
    """Cuts each field that a client chose, so that the status behind a long path is not lost."""

    def atoms(self, *request: Any) -> dict[str, Any]:
        """Return the fields of a line."""
        atoms: dict[str, Any] = super().atoms(*request)
        return {
            name: shortened(value, MAX_FIELD_CHARACTERS) if isinstance(value, str) else value
            for name, value in atoms.items()
        }
