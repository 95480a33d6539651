"""A client of the API that records its requests and the responses."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from http import HTTPStatus
from time import sleep

from pydantic import SecretStr

from stack.history.event import (
    Answer,
    Kind,
    Phase,
    Request,
    SeenAdapters,
    SeenDeliveries,
    SeenImage,
    SeenJobs,
    SeenLines,
)
from stack.history.recorder import Caller, Outcome, Recorder
from stack.soak.adapter_file import FORM, entry_of, form
from stack.soak.observations import Json, seen_adapter, seen_batch, seen_delivery, seen_file, seen_job, seen_line
from stack.soak.reply import Reply, code_of, phase_of
from tasks.api_client import LINES, PAGE, ApiClient, ApiResponse
from tasks.errors import ServerSilent

TIMEOUT_S = 30
ALONE = {"Connection": "close"}
"""Each request is on a connection of its own, so that a fault meets one request."""

See = Callable[[bytes], Answer | None]
"""Extracts the part of a response's body that a history keeps."""


class RecordedClient:
    """A client with an API key of its own.

    Args:
        caller: its name and the owner of its key.
        api: URL of the API.
        secret: of its key.
        recorder: takes each operation.
    """

    def __init__(self, caller: Caller, api: str, secret: str, recorder: Recorder) -> None:
        self.caller = caller
        self._recorder = recorder
        self._api = ApiClient(api, SecretStr(secret), timeout_s=TIMEOUT_S, headers=ALONE)

    def with_timeout(self, timeout_s: float) -> RecordedClient:
        """Return the same client with another timeout."""
        other = copy.copy(self)
        other._api = self._api.with_timeout(timeout_s)
        return other

    def submit_job(self, body: Json, key: str) -> Reply:
        """Submit a job."""
        adapters = tuple(adapter["ref"] for adapter in body["adapters"])
        request = Request(
            kind=Kind.SUBMIT_JOB, key=key, webhook="webhook_url" in body, images=body["images"], adapters=adapters
        )
        return self._do(request, lambda: self._api.post("/v1/jobs", body, {"Idempotency-Key": key}), see_job)

    def poll_job(self, job_id: str, wait_s: float = 0) -> Reply:
        """Poll a job."""
        request = Request(kind=Kind.POLL_JOB, target=job_id)
        return self._do(request, lambda: self._api.get(f"/v1/jobs/{job_id}?wait={wait_s:g}"), see_job)

    def cancel_job(self, job_id: str) -> Reply:
        """Cancel a job."""
        request = Request(kind=Kind.CANCEL_JOB, target=job_id)
        return self._do(request, lambda: self._api.send("POST", f"/v1/jobs/{job_id}/cancel"), see_job)

    def list_jobs(self) -> Reply:
        """List every job, a page at a time."""
        return self._do(Request(kind=Kind.LIST_JOBS), lambda: self._api.pages("/v1/jobs", "jobs"), see_all_jobs)

    def list_jobs_of_batch(self, batch_id: str) -> Reply:
        """List the unfinished jobs of a batch."""
        request = Request(kind=Kind.LIST_JOBS, target=batch_id)
        return self._do(request, lambda: self._api.get(f"/v1/jobs?limit={PAGE}&batch={batch_id}"), see_some_jobs)

    def fetch_image(self, of: str, url: str, recorded: SeenImage) -> Reply:
        """Fetch an image of a job or a batch."""
        request = Request(kind=Kind.FETCH_IMAGE, target=of, file=recorded)
        return self._do(request, lambda: self._api.get(url), seen_file)

    def submit_batch(self, lines: Sequence[Json], key: str, query: str, pause_s: float = 0) -> Reply:
        """Submit a batch, with a pause in the middle of the file."""
        names = tuple(line["custom_id"] for line in lines)
        request = Request(kind=Kind.SUBMIT_BATCH, key=key, webhook="webhook_url" in query, lines=names)
        body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        headers = {**LINES, "Idempotency-Key": key, "Content-Length": str(len(body))}
        send = partial(self._api.send, "POST", f"/v1/batches{query}", headers=headers)
        return self._do(request, lambda: send(halves(body, pause_s)), see_batch)

    def read_batch(self, batch_id: str) -> Reply:
        """Read the record of a batch."""
        request = Request(kind=Kind.READ_BATCH, target=batch_id)
        return self._do(request, lambda: self._api.get(f"/v1/batches/{batch_id}"), see_batch)

    def read_results(self, batch_id: str) -> Reply:
        """Read the results of a batch so far."""
        request = Request(kind=Kind.READ_RESULTS, target=batch_id)
        return self._do(request, lambda: self._api.get(f"/v1/batches/{batch_id}/results"), see_lines)

    def cancel_batch(self, batch_id: str) -> Reply:
        """Cancel a batch."""
        request = Request(kind=Kind.CANCEL_BATCH, target=batch_id)
        return self._do(request, lambda: self._api.send("POST", f"/v1/batches/{batch_id}/cancel"), see_batch)

    def retry_batch(self, batch_id: str) -> Reply:
        """Retry the lines of a batch that have no images."""
        request = Request(kind=Kind.RETRY_BATCH, target=batch_id)
        return self._do(request, lambda: self._api.send("POST", f"/v1/batches/{batch_id}/retry"), see_batch)

    def send_adapter(self, name: str, content: bytes) -> Reply:
        """Register an adapter with its file in a form."""
        request = Request(kind=Kind.REGISTER_ADAPTER, target=name, file=seen_file(content))
        return self._do(request, lambda: self._api.send("POST", "/v1/adapters", form(name, content), FORM), see_adapter)

    def put_adapter(self, name: str, content: bytes) -> Reply:
        """Put an adapter's file into storage, and then register it."""
        request = Request(kind=Kind.REGISTER_ADAPTER, target=name, file=seen_file(content))

        def put_and_register() -> ApiResponse:
            file = seen_file(content)
            begun = self._api.post("/v1/adapters/uploads", {"sha256": file.sha256, "size_bytes": file.size_bytes})
            if begun.status != HTTPStatus.CREATED:
                return begun
            place = begun.record
            put = self._api.send("PUT", place["url"], content, place["headers"])
            if put.status != HTTPStatus.OK:
                return put
            return self._api.post("/v1/adapters", {**entry_of(name), "upload": place["id"]})

        return self._do(request, put_and_register, see_adapter)

    def remove_adapter(self, name: str) -> Reply:
        """Remove an adapter."""
        request = Request(kind=Kind.REMOVE_ADAPTER, target=name)
        return self._do(request, lambda: self._api.send("DELETE", f"/v1/adapters/{name}"), lambda _: None)

    def list_adapters(self) -> Reply:
        """List every adapter."""
        request = Request(kind=Kind.LIST_ADAPTERS)
        return self._do(request, lambda: self._api.get("/v1/adapters?limit=500"), see_adapters)

    def list_deliveries(self) -> Reply:
        """List every delivery of webhooks, a page at a time."""
        request = Request(kind=Kind.LIST_DELIVERIES)
        return self._do(request, lambda: self._api.pages("/v1/webhooks/deliveries", "deliveries"), see_deliveries)

    def _do(self, request: Request, send: Callable[[], ApiResponse], see: See) -> Reply:
        """Carry out an operation, and record its beginning and its outcome."""
        number = self._recorder.invoke(self.caller, request)
        try:
            response = send()
            phase = phase_of(response.status)
            answer = see(response.body) if phase is Phase.OK else None
        except (ServerSilent, ValueError) as error:  # no answer, or only the beginning of one
            self._recorder.end(number, self.caller, Outcome(Phase.INFO, code=type(error.__cause__ or error).__name__))
            return Reply(Phase.INFO)
        code = None if phase is Phase.OK else code_of(response)
        self._recorder.end(number, self.caller, Outcome(phase, answer, response.status, code))
        return Reply(phase, response.body, response.status, code)


def halves(body: bytes, pause_s: float) -> Iterator[bytes]:
    """A body in two parts, with a pause between them."""
    middle = len(body) // 2
    yield body[:middle]
    if pause_s:
        sleep(pause_s)
    yield body[middle:]


def see_job(body: bytes) -> Answer:
    """A job."""
    return seen_job(json.loads(body))


def see_batch(body: bytes) -> Answer:
    """A batch."""
    return seen_batch(json.loads(body))


def see_adapter(body: bytes) -> Answer:
    """An entry of the catalogue."""
    return seen_adapter(json.loads(body))


def see_all_jobs(body: bytes) -> Answer:
    """All jobs of an owner."""
    return SeenJobs(jobs=tuple(map(seen_job, json.loads(body)["jobs"])), complete=True)


def see_some_jobs(body: bytes) -> Answer:
    """A page of jobs."""
    return SeenJobs(jobs=tuple(map(seen_job, json.loads(body)["jobs"])), complete=False)


def see_deliveries(body: bytes) -> Answer:
    """The log of deliveries."""
    return SeenDeliveries(deliveries=tuple(map(seen_delivery, json.loads(body)["deliveries"])))


def see_adapters(body: bytes) -> Answer:
    """The catalogue."""
    return SeenAdapters(adapters=tuple(map(seen_adapter, json.loads(body)["adapters"])))


def see_lines(body: bytes) -> Answer:
    """The results of a batch."""
    return SeenLines(lines=tuple(seen_line(json.loads(line)) for line in body.splitlines()))
