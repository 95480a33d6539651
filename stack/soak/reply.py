"""The response to a request, as a simulated client understands it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from stack.history.event import Phase
from tasks.api_client import ApiResponse


@dataclass(frozen=True)
class Reply:
    """The response to a request.

    Attributes:
        phase: whether the request was served.
        body: of a success.
        status: HTTP status; None without a response.
        code: of a problem.
    """

    phase: Phase
    body: bytes = b""
    status: int | None = None
    code: str | None = None

    @property
    def record(self) -> Any:
        """The record in the body."""
        return json.loads(self.body)

    @property
    def is_done(self) -> bool:
        """Return whether the request was served."""
        return self.phase is Phase.OK

    @property
    def is_gone(self) -> bool:
        """Return whether the API knows no such record, as after Valkey was emptied; the checker judges that."""
        return self.status == HTTPStatus.NOT_FOUND

    @property
    def is_settled(self) -> bool:
        """Return whether the client need not send its request again."""
        return self.phase is not Phase.INFO and self.status != HTTPStatus.TOO_MANY_REQUESTS


def phase_of(status: int) -> Phase:
    """Return what an HTTP status says of a request: it was served, it was surely not served, or that is unknown."""
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return Phase.OK
    refused = status < HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.REQUEST_TIMEOUT
    return Phase.FAIL if refused else Phase.INFO


def code_of(response: ApiResponse) -> str | None:
    """The code of a problem document; None where the body is something else."""
    try:
        return str(json.loads(response.body)["type"]).rpartition(":")[2]
    except (ValueError, KeyError, TypeError):
        return None
