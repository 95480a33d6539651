"""A client of the API that writes down what it asks for and what it is answered."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus

from stack.errors import ServerSilent
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
from stack.soak.exchange import Answered, Sending, exchange
from stack.soak.observations import Json, seen_adapter, seen_batch, seen_delivery, seen_file, seen_job, seen_line
from stack.soak.reply import Reply, code_of, phase_of

JSON = {"Content-Type": "application/json"}
LINES = {"Content-Type": "application/jsonl"}
PAGE = 100

See = Callable[[bytes], Answer | None]
"""What a history keeps of the body of an answer."""


class RecordedClient:
    """A client with an API key of its own.

    Args:
        caller: what it is called.
        api: URL of the API.
        secret: of its key.
        recorder: where it writes down what it does.
        timeout_s: seconds after which it gives up waiting for an answer.
    """

    def __init__(self, caller: Caller, api: str, secret: str, recorder: Recorder, timeout_s: float = 30) -> None:
        self.caller = caller
        self._api = api
        self._secret = secret
        self._recorder = recorder
        self._timeout_s = timeout_s

    def with_timeout(self, timeout_s: float) -> RecordedClient:
        """The same client, with less patience."""
        return RecordedClient(self.caller, self._api, self._secret, self._recorder, timeout_s)

    def submit_job(self, body: Json, key: str) -> Reply:
        """Submit a job."""
        adapters = tuple(adapter["ref"] for adapter in body["adapters"])
        request = Request(
            kind=Kind.SUBMIT_JOB, key=key, webhook="webhook_url" in body, images=body["images"], adapters=adapters
        )
        sending = self._sending("POST", "/v1/jobs", {**JSON, "Idempotency-Key": key}, json.dumps(body).encode())
        return self._do(request, sending, see_job)

    def poll_job(self, job_id: str, wait_s: float = 0) -> Reply:
        """Ask where a job stands."""
        request = Request(kind=Kind.POLL_JOB, target=job_id)
        return self._do(request, self._sending("GET", f"/v1/jobs/{job_id}?wait={wait_s:g}"), see_job)

    def cancel_job(self, job_id: str) -> Reply:
        """Cancel a job."""
        request = Request(kind=Kind.CANCEL_JOB, target=job_id)
        return self._do(request, self._sending("POST", f"/v1/jobs/{job_id}/cancel"), see_job)

    def list_jobs(self) -> Reply:
        """List every job, a page at a time."""
        return self._do_all(Request(kind=Kind.LIST_JOBS), lambda: self._pages("/v1/jobs", "jobs"), see_all_jobs)

    def list_jobs_of_batch(self, batch_id: str) -> Reply:
        """List the jobs of a batch that are at work."""
        sending = self._sending("GET", f"/v1/jobs?limit={PAGE}&batch={batch_id}")
        return self._do(Request(kind=Kind.LIST_JOBS, target=batch_id), sending, see_some_jobs)

    def fetch_image(self, of: str, url: str, recorded: SeenImage) -> Reply:
        """Fetch an image of a job or a batch."""
        request = Request(kind=Kind.FETCH_IMAGE, target=of, file=recorded)
        return self._do(request, Sending("GET", url, timeout_s=self._timeout_s), seen_file)

    def submit_batch(self, lines: Sequence[Json], key: str, query: str, pause_s: float = 0) -> Reply:
        """Submit a batch, with a pause in the middle of the file."""
        names = tuple(line["custom_id"] for line in lines)
        request = Request(kind=Kind.SUBMIT_BATCH, key=key, webhook="webhook_url" in query, lines=names)
        body = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        sending = self._sending("POST", f"/v1/batches{query}", {**LINES, "Idempotency-Key": key}, body, pause_s)
        return self._do(request, sending, see_batch)

    def read_batch(self, batch_id: str) -> Reply:
        """Ask where a batch stands."""
        request = Request(kind=Kind.READ_BATCH, target=batch_id)
        return self._do(request, self._sending("GET", f"/v1/batches/{batch_id}"), see_batch)

    def read_results(self, batch_id: str) -> Reply:
        """Read the results of a batch so far."""
        request = Request(kind=Kind.READ_RESULTS, target=batch_id)
        return self._do(request, self._sending("GET", f"/v1/batches/{batch_id}/results"), see_lines)

    def cancel_batch(self, batch_id: str) -> Reply:
        """Cancel a batch."""
        request = Request(kind=Kind.CANCEL_BATCH, target=batch_id)
        return self._do(request, self._sending("POST", f"/v1/batches/{batch_id}/cancel"), see_batch)

    def retry_batch(self, batch_id: str) -> Reply:
        """Have the lines of a batch that have no images drawn again."""
        request = Request(kind=Kind.RETRY_BATCH, target=batch_id)
        return self._do(request, self._sending("POST", f"/v1/batches/{batch_id}/retry"), see_batch)

    def send_adapter(self, name: str, content: bytes) -> Reply:
        """Register an adapter with its file in a form."""
        request = Request(kind=Kind.REGISTER_ADAPTER, target=name, file=seen_file(content))
        return self._do(request, self._sending("POST", "/v1/adapters", FORM, form(name, content)), see_adapter)

    def put_adapter(self, name: str, content: bytes) -> Reply:
        """Put an adapter's file into storage, and then register it."""
        request = Request(kind=Kind.REGISTER_ADAPTER, target=name, file=seen_file(content))

        def put_and_register() -> Answered:
            file = seen_file(content)
            promise = json.dumps({"sha256": file.sha256, "size_bytes": file.size_bytes}).encode()
            promised = exchange(self._sending("POST", "/v1/adapters/uploads", JSON, promise))
            if promised.status != HTTPStatus.CREATED:
                return promised
            place = json.loads(promised.body)
            put = exchange(Sending("PUT", place["url"], place["headers"], content, self._timeout_s))
            if put.status != HTTPStatus.OK:
                return put
            entry = json.dumps({**entry_of(name), "upload": place["id"]}).encode()
            return exchange(self._sending("POST", "/v1/adapters", JSON, entry))

        return self._do_all(request, put_and_register, see_adapter)

    def remove_adapter(self, name: str) -> Reply:
        """Remove an adapter."""
        request = Request(kind=Kind.REMOVE_ADAPTER, target=name)
        return self._do(request, self._sending("DELETE", f"/v1/adapters/{name}"), lambda _: None)

    def list_adapters(self) -> Reply:
        """List every adapter."""
        sending = self._sending("GET", "/v1/adapters?limit=500")
        return self._do(Request(kind=Kind.LIST_ADAPTERS), sending, see_adapters)

    def list_deliveries(self) -> Reply:
        """List every delivery of webhooks, a page at a time."""
        request = Request(kind=Kind.LIST_DELIVERIES)
        return self._do_all(request, lambda: self._pages("/v1/webhooks/deliveries", "deliveries"), see_deliveries)

    def _pages(self, path: str, name: str) -> Answered:
        """The pages of a list, as one."""
        items: list[Json] = []
        cursor = ""
        while True:
            answered = exchange(self._sending("GET", f"{path}?limit={PAGE}{cursor}"))
            if answered.status != HTTPStatus.OK:
                return answered
            page = json.loads(answered.body)
            items += page[name]
            if page["next_cursor"] is None:
                return Answered(HTTPStatus.OK, json.dumps({name: items}).encode())
            cursor = f"&cursor={page['next_cursor']}"

    def _sending(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b"", pause_s: float = 0
    ) -> Sending:
        named = {"Authorization": f"Bearer {self._secret}", **(headers or {})}
        return Sending(method, self._api + path, named, body, self._timeout_s, pause_s)

    def _do(self, request: Request, sending: Sending, see: See) -> Reply:
        return self._do_all(request, lambda: exchange(sending), see)

    def _do_all(self, request: Request, send: Callable[[], Answered], see: See) -> Reply:
        """Do an operation, and write down that it begins, and what came of it."""
        number = self._recorder.invoke(self.caller, request)
        try:
            answered = send()
            phase = phase_of(answered.status)
            answer = see(answered.body) if phase is Phase.OK else None
        except (ServerSilent, ValueError) as error:  # no answer, or only the beginning of one
            self._recorder.end(number, self.caller, Outcome(Phase.INFO, code=str(error)[:100]))
            return Reply(Phase.INFO)
        code = None if phase is Phase.OK else code_of(answered)
        self._recorder.end(number, self.caller, Outcome(phase, answer, answered.status, code))
        return Reply(phase, answered.body, answered.status, code)


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
