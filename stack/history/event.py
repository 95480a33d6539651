"""One line of a history: an operation begins, or its outcome is known."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from tasks.batches.batch import BatchStatus
from tasks.fields import Frozen
from tasks.jobs.job import Status
from tasks.webhooks.delivery import DeliveryStatus


class Kind(StrEnum):
    """The kind of an operation."""

    SUBMIT_JOB = "submit_job"
    POLL_JOB = "poll_job"
    CANCEL_JOB = "cancel_job"
    LIST_JOBS = "list_jobs"
    FETCH_IMAGE = "fetch_image"
    SUBMIT_BATCH = "submit_batch"
    READ_BATCH = "read_batch"
    READ_RESULTS = "read_results"
    CANCEL_BATCH = "cancel_batch"
    RETRY_BATCH = "retry_batch"
    REGISTER_ADAPTER = "register_adapter"
    LIST_ADAPTERS = "list_adapters"
    REMOVE_ADAPTER = "remove_adapter"
    LIST_DELIVERIES = "list_deliveries"
    WEBHOOK = "webhook"
    """The service reports to a receiver that a job or a batch has ended."""
    EMPTY_VALKEY = "empty_valkey"
    """A fault: Valkey has lost everything."""
    CALM = "calm"
    """The faults are over and every part works: from now on each request must be answered, each job must have ended."""


class Phase(StrEnum):
    """The phase of an operation."""

    INVOKE = "invoke"
    """It begins."""
    OK = "ok"
    """It was done, and this is the response."""
    FAIL = "fail"
    """It was surely not done: the service refused it (4xx)."""
    INFO = "info"
    """It may have been done, or be done later: there was no response, or the service failed (5xx)."""


class SeenImage(Frozen):
    """An image, or the file of an adapter: as a record describes it, or as it was fetched."""

    type: Literal["image"] = "image"
    sha256: str
    size_bytes: int


class SeenJob(Frozen):
    """A job as a response shows it."""

    type: Literal["job"] = "job"
    id: str
    status: Status
    attempt: int
    images: tuple[SeenImage, ...] = ()
    error: str | None = Field(None, description="code of its failure")
    key: str | None = Field(None, description="idempotency key of its submission, which its prompt carries")

    @property
    def end(self) -> tuple[Status, int, tuple[SeenImage, ...], str | None] | None:
        """Return the parts that never change again; None before the job has ended."""
        return (self.status, self.attempt, self.images, self.error) if self.status.is_terminal else None


class SeenJobs(Frozen):
    """A list of jobs."""

    type: Literal["jobs"] = "jobs"
    jobs: tuple[SeenJob, ...]
    complete: bool = Field(description="whether these are all jobs of their owner")


class SeenBatch(Frozen):
    """A batch as a response shows it."""

    type: Literal["batch"] = "batch"
    id: str
    status: BatchStatus
    lines: int
    skipped: int = 0
    waiting: int = 0
    queued: int = 0
    running: int = 0
    succeeded: int = 0
    failed: int = 0
    canceled: int = 0

    @property
    def counted(self) -> int:
        """The sum of its counters."""
        return self.waiting + self.queued + self.running + self.succeeded + self.failed + self.canceled


class SeenLine(Frozen):
    """The result of one line of a batch."""

    line: int
    custom_id: str
    status: Status
    images: tuple[SeenImage, ...] = ()
    error: str | None = None


class SeenLines(Frozen):
    """The results of a batch."""

    type: Literal["lines"] = "lines"
    lines: tuple[SeenLine, ...]


class SeenAdapter(Frozen):
    """An entry of the catalogue."""

    type: Literal["adapter"] = "adapter"
    name: str
    sha256: str | None = None


class SeenAdapters(Frozen):
    """Every entry of the catalogue that a client may see."""

    type: Literal["adapters"] = "adapters"
    adapters: tuple[SeenAdapter, ...]


class SeenWebhook(Frozen):
    """A delivery."""

    type: Literal["webhook"] = "webhook"
    id: str
    genuine: bool = Field(description="whether its signature is good")
    about: SeenJob | SeenBatch = Field(discriminator="type")


class SeenDelivery(Frozen):
    """A line of the log of deliveries."""

    id: str = Field(description="of the webhook")
    about: str = Field(description="id of the job or batch that has ended")
    status: DeliveryStatus


class SeenDeliveries(Frozen):
    """The log of all deliveries to a client."""

    type: Literal["deliveries"] = "deliveries"
    deliveries: tuple[SeenDelivery, ...]


Answer = Annotated[
    SeenJob | SeenJobs | SeenBatch | SeenLines | SeenAdapter | SeenAdapters | SeenWebhook | SeenDeliveries | SeenImage,
    Field(discriminator="type"),
]


class Request(Frozen):
    """The request of an operation."""

    kind: Kind
    target: str | None = Field(None, description="id of the job or batch, or name of the adapter")
    key: str | None = Field(None, description="idempotency key")
    webhook: bool = Field(False, description="whether the client wants to be told of the end")
    images: int | None = Field(None, description="how many images a job asks for")
    adapters: tuple[str, ...] = Field((), description="names of uploaded adapters that a job asks for")
    lines: tuple[str, ...] = Field((), description="the `custom_id` of each line of a batch")
    file: SeenImage | None = Field(None, description="what an image should be, or the file of an adapter")


class Event(Frozen):
    """An operation begins, or its outcome is known."""

    operation: int = Field(description="number of the operation; its two events have the same")
    client: str = Field(description="name of the client")
    owner: str = Field(description="whose API key the client sends")
    at: float = Field(description="seconds on the one monotonic clock of all clients")
    phase: Phase
    request: Request | None = Field(None, description="of an event that begins an operation")
    answer: Answer | None = Field(None, description="of an operation that was done, if it says more than that")
    status: int | None = Field(None, description="HTTP status, if an answer came")
    code: str | None = Field(None, description="of the problem, or what cut the connection")
