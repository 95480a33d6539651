"""Histories as a test writes them: one operation a line, with the seconds between which it lay."""

from __future__ import annotations

import math
from collections.abc import Iterable

from stack.history.event import (
    Answer,
    Event,
    Kind,
    Phase,
    Request,
    SeenAdapter,
    SeenAdapters,
    SeenBatch,
    SeenDeliveries,
    SeenDelivery,
    SeenImage,
    SeenJob,
    SeenLine,
    SeenLines,
    SeenWebhook,
)
from tasks.batches.batch import BatchStatus
from tasks.jobs.job import Status
from tasks.webhooks.delivery import DeliveryStatus

OWNER = "a"
RED = SeenImage(sha256="red", size_bytes=7)
BLUE = SeenImage(sha256="blue", size_bytes=7)


class Story:
    """A history in the making. ``began`` and ``ended`` are seconds; one that never ends has no second event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def add(
        self,
        request: Request,
        began: float,
        ended: float = math.inf,
        answer: Answer | None = None,
        *,
        phase: Phase = Phase.OK,
        status: int | None = None,
        code: str | None = None,
        owner: str = OWNER,
    ) -> Story:
        """Add an operation."""
        number = len(self.events)
        begin = Event(operation=number, client="c", owner=owner, at=began, phase=Phase.INVOKE, request=request)
        self.events.append(begin)
        if ended < math.inf:
            outcome = {"phase": phase, "answer": answer, "status": status, "code": code}
            self.events.append(Event(operation=number, client="c", owner=owner, at=ended, **outcome))  # type: ignore[arg-type]
        return self

    def submit(
        self,
        began: float,
        ended: float = math.inf,
        answer: Answer | None = None,
        *,
        key: str = "k",
        phase: Phase = Phase.OK,
        adapters: tuple[str, ...] = (),
        code: str | None = None,
    ) -> Story:
        """Submit a job of one image."""
        request = Request(kind=Kind.SUBMIT_JOB, key=key, webhook=True, images=1, adapters=adapters)
        return self.add(request, began, ended, answer, phase=phase, code=code)

    def poll(self, began: float, ended: float, answer: SeenJob, *, owner: str = OWNER) -> Story:
        """Poll a job."""
        return self.add(Request(kind=Kind.POLL_JOB, target=answer.id), began, ended, answer, owner=owner)

    def refused(self, kind: Kind, target: str, began: float, ended: float, status: int) -> Story:
        """Be refused."""
        return self.add(Request(kind=kind, target=target), began, ended, phase=Phase.FAIL, status=status)

    def fetch(self, began: float, ended: float, found: SeenImage, recorded: SeenImage = RED) -> Story:
        """Fetch an image."""
        request = Request(kind=Kind.FETCH_IMAGE, target="j", file=recorded)
        return self.add(request, began, ended, found, status=200)

    def emptied(self, began: float, ended: float) -> Story:
        """Valkey loses everything."""
        return self.add(Request(kind=Kind.EMPTY_VALKEY), began, ended)

    def calm(self, at: float) -> Story:
        """The faults are over."""
        return self.add(Request(kind=Kind.CALM), at, at)

    def send(self, began: float, ended: float, answer: Answer | None, *, lines: Iterable[str] = ("x", "y")) -> Story:
        """Submit a batch."""
        request = Request(kind=Kind.SUBMIT_BATCH, key="kb", lines=tuple(lines))
        return self.add(request, began, ended, answer)

    def read(self, began: float, ended: float, answer: SeenBatch) -> Story:
        """Read a batch."""
        return self.add(Request(kind=Kind.READ_BATCH, target=answer.id), began, ended, answer)

    def results(self, began: float, ended: float, *lines: SeenLine) -> Story:
        """Read the results of the batch ``b``."""
        return self.add(Request(kind=Kind.READ_RESULTS, target="b"), began, ended, SeenLines(lines=lines))

    def register(self, began: float, ended: float, *, file: SeenImage = RED, phase: Phase = Phase.OK) -> Story:
        """Register the adapter ``n``."""
        return self.add(Request(kind=Kind.REGISTER_ADAPTER, target="n", file=file), began, ended, phase=phase)

    def remove(self, began: float, ended: float) -> Story:
        """Remove the adapter ``n``."""
        return self.add(Request(kind=Kind.REMOVE_ADAPTER, target="n"), began, ended)

    def catalogue(self, began: float, ended: float, *adapters: SeenAdapter) -> Story:
        """List the adapters."""
        return self.add(Request(kind=Kind.LIST_ADAPTERS), began, ended, SeenAdapters(adapters=adapters))

    def log(self, began: float, ended: float, answer: SeenDeliveries) -> Story:
        """List the deliveries."""
        return self.add(Request(kind=Kind.LIST_DELIVERIES), began, ended, answer)

    def told(self, at: float, about: SeenJob | SeenBatch, *, webhook: str = "w", genuine: bool = True) -> Story:
        """A webhook comes."""
        answer = SeenWebhook(id=webhook, genuine=genuine, about=about)
        return self.add(Request(kind=Kind.WEBHOOK), at, at, answer)


def delivery(status: DeliveryStatus, webhook: str = "w") -> SeenDeliveries:
    """A log with the delivery of the end of the job ``j``."""
    return SeenDeliveries(deliveries=(SeenDelivery(id=webhook, about="j", status=status),))


def queued(job: str = "j", attempt: int = 0, key: str | None = "k") -> SeenJob:
    """A job that waits."""
    return SeenJob(id=job, status=Status.QUEUED, attempt=attempt, key=key)


def running(attempt: int = 1) -> SeenJob:
    """A job that is drawn."""
    return SeenJob(id="j", status=Status.RUNNING, attempt=attempt, key="k")


def succeeded(image: SeenImage = RED, attempt: int = 1, job: str = "j") -> SeenJob:
    """A job that has its image."""
    return SeenJob(id=job, status=Status.SUCCEEDED, attempt=attempt, images=(image,), key="k")


def canceled(attempt: int = 0) -> SeenJob:
    """A job that was canceled."""
    return SeenJob(id="j", status=Status.CANCELED, attempt=attempt, key="k")


def batch(
    status: BatchStatus, lines: int = 2, *, waiting: int = 0, queued: int = 0, succeeded: int = 0, failed: int = 0
) -> SeenBatch:
    """The batch ``b``."""
    counts = {"waiting": waiting, "queued": queued, "succeeded": succeeded, "failed": failed}
    return SeenBatch.model_validate({"id": "b", "status": status, "lines": lines, **counts})


def line(number: int, name: str, image: SeenImage | None = RED) -> SeenLine:
    """The result of a line: succeeded, or without an image failed."""
    if image is None:
        return SeenLine(line=number, custom_id=name, status=Status.FAILED, error="worker_lost")
    return SeenLine(line=number, custom_id=name, status=Status.SUCCEEDED, images=(image,))
