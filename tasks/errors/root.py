"""The root of the tree, and errors for the operator and for callers of our own client."""

from __future__ import annotations

from typing import ClassVar


class StokeholdError(Exception):
    """Root of the tree. ``str(error)`` is a sentence that says what to do."""

    code: ClassVar[str] = "error"
    title: ClassVar[str] = "Something went wrong"
    http_status: ClassVar[int | None] = None


class ConfigurationError(StokeholdError):
    """A setting or ``models.toml`` is wrong; raised at start."""

    code = "configuration"
    title = "The service is configured wrongly"


class RequestRefused(StokeholdError):
    """A server refuses what our own client asks of it; the message has its reason."""

    code = "request_refused"
    title = "The server refuses"
