"""The conversation of a client with the API: submit, poll, download."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError

from pydantic import SecretStr

from stack.errors import RequestRefused, ServerSilent
from tasks.jobs.job import Status

Record = dict[str, Any]

POLL_S = 2
"""For how long the API may hold an answer: short, so that Ctrl-C and the death of a part are noticed meanwhile."""

TIMEOUT_S = 30

JSON = {"Content-Type": "application/json"}


class Client:
    """A client of the API at ``url``, with an API key where one is needed."""

    def __init__(self, url: str, key: SecretStr | None) -> None:
        self._url = url
        self._headers = JSON if key is None else {**JSON, "Authorization": f"Bearer {key.get_secret_value()}"}

    def adapters(self) -> list[Record]:
        """The local catalogue.

        Raises:
            StackError: the API is unavailable or refuses.
        """
        return list(self._json("/v1/adapters")["adapters"])

    def submit(self, request: Mapping[str, Any]) -> str:
        """Submit a job; its id.

        Raises:
            StackError: the API is unavailable, or refuses the request and says why.
        """
        return str(self._json("/v1/jobs", json.dumps(request).encode())["id"])

    def cancel(self, job_id: str) -> None:
        """Cancel a job.

        Raises:
            StackError: the API is unavailable, or refuses because the job has ended.
        """
        self._json(f"/v1/jobs/{job_id}/cancel", b"")

    def finished(self, job_id: str, meanwhile: Callable[[], None]) -> Record:
        """The record of a job once it has ended, well or not.

        Args:
            job_id: as its submission answered it.
            meanwhile: called between two polls; what it raises ends the waiting.
        """
        while True:
            record = self._json(f"/v1/jobs/{job_id}?wait={POLL_S}")
            if Status(record["status"]).is_terminal:
                return record
            meanwhile()

    def _json(self, path: str, body: bytes | None = None) -> Record:
        return dict(json.loads(fetch(urllib.request.Request(self._url + path, body, self._headers))))


def fetch(request: str | urllib.request.Request) -> bytes:
    """What a server answers; also to a plain URL, such as that of an image.

    Raises:
        RequestRefused: the server refuses, and says why.
        ServerSilent: it does not answer.
    """
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            return bytes(response.read())
    except HTTPError as error:
        with error:
            reason = error.read().decode("utf-8", "replace")
        raise RequestRefused(f"{error.url} answers {error.code}: {reason}") from error
    except (OSError, HTTPException) as error:  # URLError and timeouts among the former, answers cut off the latter
        url = request if isinstance(request, str) else request.full_url
        raise ServerSilent(f"{url} does not answer: {error}") from error
