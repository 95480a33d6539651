"""The conversation with the API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, Self

import httpx2
from pydantic import SecretStr

from tasks.batches.batch import LINES_TYPE
from tasks.batches.record import BatchRecord
from tasks.errors import ServiceUnavailable, StokeholdError

TIMEOUT_S = 60


class Refused(StokeholdError):
    """The API does not do what it is asked; the message is the API's own."""


class BatchClient:
    """A client of the API at ``url``, with an API key where one is needed. It is closed as a context manager."""

    def __init__(self, url: str, key: SecretStr | None) -> None:
        self._url = url
        headers = {} if key is None else {"Authorization": f"Bearer {key.get_secret_value()}"}
        # A server may close an idle connection at any moment; a new one costs nothing beside the pause of a poll.
        limits = httpx2.Limits(keepalive_expiry=1)
        self._http = httpx2.Client(base_url=url, headers=headers, timeout=TIMEOUT_S, limits=limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def submit(self, file: IO[bytes], *, idempotency_key: str, on_error: str, dry_run: bool) -> BatchRecord:
        """Send a file of lines.

        Raises:
            Refused, ServiceUnavailable: it is not accepted, or nobody answers.
        """
        headers = {"Content-Type": LINES_TYPE, "Idempotency-Key": idempotency_key}
        parameters = {"on_error": on_error, "dry_run": str(dry_run).lower()}
        return self._record("POST", "/v1/batches", content=file, headers=headers, params=parameters)

    def get(self, batch_id: str) -> BatchRecord:
        """The batch as it stands now."""
        return self._record("GET", f"/v1/batches/{batch_id}")

    def cancel(self, batch_id: str) -> BatchRecord:
        """Cancel a batch."""
        return self._record("POST", f"/v1/batches/{batch_id}/cancel")

    def retry(self, batch_id: str) -> BatchRecord:
        """Try again what has no images."""
        return self._record("POST", f"/v1/batches/{batch_id}/retry")

    def results(self, batch_id: str) -> Iterator[str]:
        """The results so far, one a line, in the order of the lines."""
        with self._translated(), self._http.stream("GET", f"/v1/batches/{batch_id}/results") as answer:
            require_success(answer)
            yield from answer.iter_lines()

    def download(self, url: str) -> bytes:
        """An image."""
        with self._translated():
            answer = self._http.get(url, headers={"Authorization": ""})  # a presigned URL bears no other credentials
            require_success(answer)
        return answer.content

    def _record(self, method: str, path: str, **options: Any) -> BatchRecord:
        with self._translated():
            answer = self._http.request(method, path, **options)
            require_success(answer)
        return BatchRecord.model_validate_json(answer.content)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Translate what the HTTP client raises.

        Raises:
            ServiceUnavailable: nobody answers.
        """
        try:
            yield
        except httpx2.HTTPError as error:
            raise ServiceUnavailable(
                f"{self._url} does not answer, or the storage that it names ({error!r}). Run this command again later."
            ) from error


def require_success(answer: httpx2.Response) -> None:
    """See that the API did what it was asked.

    Raises:
        Refused: it did not, and says why.
        ServiceUnavailable: it may do so later.
    """
    if answer.is_success:
        return
    answer.read()
    try:
        detail = str(answer.json()["detail"])
    except (ValueError, LookupError, TypeError):
        detail = answer.text[:300]
    if answer.status_code in (429, 502, 503, 504):
        raise ServiceUnavailable(detail)
    raise Refused(detail)
