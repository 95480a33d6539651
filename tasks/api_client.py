"""A client of this service's own API, for its commands, its benchmarks and its soak."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Self

import httpx2
from pydantic import SecretStr

from tasks.errors import RequestRefused, ServerSilent, ServiceUnavailable
from tasks.jobs.job import Status

Record = dict[str, Any]
Body = bytes | Iterable[bytes]

TIMEOUT_S = 60
POLL_S = 2
"""Seconds for which the API may hold a response: few, so that Ctrl-C and the death of a part are noticed."""
IDLE_S = 1
"""Seconds for which an idle connection is kept. A server may close it at any moment, and a new one is cheap."""
PAGE = 100
UNAVAILABLE = frozenset(
    {
        *(HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY),
        *(HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT),
    }
)
"""Statuses after which the same request may succeed later."""

JSON: Mapping[str, str] = MappingProxyType({"Content-Type": "application/json"})
LINES: Mapping[str, str] = MappingProxyType({"Content-Type": "application/jsonl"})
NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class ApiResponse:
    """A whole response.

    Attributes:
        url: the URL of the request, without its query, in which a presigned URL has its signature.
    """

    url: str
    status: int
    body: bytes

    def require_success(self) -> Self:
        """Check that the server served the request.

        Raises:
            RequestRefused: it did not, and says why.
            ServiceUnavailable: it may do so later.
        """
        if self.status < HTTPStatus.MULTIPLE_CHOICES:
            return self
        try:
            detail = str(json.loads(self.body)["detail"])
        except (ValueError, LookupError, TypeError):
            detail = f"{self.url} answers {self.status}: {self.body[:300].decode('utf-8', 'replace')}"
        if self.status in UNAVAILABLE:
            raise ServiceUnavailable(detail)
        raise RequestRefused(detail)

    @property
    def record(self) -> Record:
        """The JSON of a success.

        Raises:
            RequestRefused, ServiceUnavailable: as ``require_success`` does.
        """
        return dict(json.loads(self.require_success().body))


class ApiClient:
    """A client of the API at ``url``, with an API key where one is needed. Closed as a context manager; thread-safe.

    A path goes to the API, with the key; a whole URL, as that of an image in storage, without.
    """

    def __init__(
        self, url: str, key: SecretStr | None, *, timeout_s: float = TIMEOUT_S, headers: Mapping[str, str] = NO_HEADERS
    ) -> None:
        """Send these headers with every request, and wait ``timeout_s`` for each part of a response."""
        limits = httpx2.Limits(keepalive_expiry=IDLE_S)
        self._key = {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}
        self._timeout_s = timeout_s
        self._http = httpx2.Client(base_url=url, headers=headers, limits=limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def with_timeout(self, timeout_s: float) -> ApiClient:
        """Return this client, on the same connections, with another timeout."""
        other = copy.copy(self)
        other._timeout_s = timeout_s
        return other

    def send(self, method: str, url: str, body: Body = b"", headers: Mapping[str, str] = NO_HEADERS) -> ApiResponse:
        """Send a request and return the whole response, whatever its status.

        Raises:
            ServerSilent: no response came, or not all of it; the request may have been served.
        """
        request = self._request(method, url, body, headers)
        with translated(request):
            response = self._http.send(request)
        return ApiResponse(shown(request), response.status_code, response.content)

    def get(self, url: str) -> ApiResponse:
        """Send a GET."""
        return self.send("GET", url)

    def post(self, path: str, value: object, headers: Mapping[str, str] = NO_HEADERS) -> ApiResponse:
        """Send a POST of JSON."""
        return self.send("POST", path, json.dumps(value).encode(), {**JSON, **headers})

    def lines(self, path: str) -> Iterator[str]:
        """Yield the lines of a success as they come.

        Raises:
            RequestRefused, ServiceUnavailable: as ``ApiResponse.require_success`` and ``send`` do.
        """
        request = self._request("GET", path, b"", NO_HEADERS)
        with translated(request):
            response = self._http.send(request, stream=True)
            try:
                if not response.is_success:
                    ApiResponse(shown(request), response.status_code, response.read()).require_success()
                yield from response.iter_lines()
            finally:
                response.close()

    def pages(self, path: str, name: str) -> ApiResponse:
        """Return the pages of a list as one; or the first response that is not a success."""
        items: list[Record] = []
        cursor = ""
        while True:
            page = self.get(f"{path}?limit={PAGE}{cursor}")
            if page.status != HTTPStatus.OK:
                return page
            items += page.record[name]
            if page.record["next_cursor"] is None:
                return ApiResponse(page.url, page.status, json.dumps({name: items}).encode())
            cursor = f"&cursor={page.record['next_cursor']}"

    def submit_job(self, request: Mapping[str, Any]) -> str:
        """Submit a job and return its id.

        Raises:
            RequestRefused, ServiceUnavailable: as ``ApiResponse.record`` and ``send`` do.
        """
        return str(self.post("/v1/jobs", request).record["id"])

    def finished_job(self, job_id: str, meanwhile: Callable[[], None]) -> Record:
        """Wait until a job has ended, well or not, and return its record.

        Args:
            meanwhile: called between two polls; what it raises ends the waiting.

        Raises:
            RequestRefused, ServiceUnavailable: as ``ApiResponse.record`` and ``send`` do.
        """
        while True:
            record = self.get(f"/v1/jobs/{job_id}?wait={POLL_S}").record
            if Status(record["status"]).is_terminal:
                return record
            meanwhile()

    def _request(self, method: str, url: str, body: Body, headers: Mapping[str, str]) -> httpx2.Request:
        key = self._key if url.startswith("/") else {}
        return self._http.build_request(method, url, content=body, headers={**key, **headers}, timeout=self._timeout_s)


@contextmanager
def translated(request: httpx2.Request) -> Iterator[None]:
    """Translate the exceptions of the HTTP client in this block.

    Raises:
        ServerSilent: no response came, or not all of it.
    """
    try:
        yield
    except httpx2.HTTPError as error:
        raise ServerSilent(f"{shown(request)} does not answer ({error!r}). Try again later.") from error


def shown(request: httpx2.Request) -> str:
    """Return the URL of a request without its query."""
    return str(request.url.copy_with(query=None))
