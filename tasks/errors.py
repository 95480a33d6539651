"""Every error that a user or an operator can meet.

    StokeholdError
    ├── ConfigurationError          the operator must change a setting or models.toml
    ├── RequestError                the client must change the request (HTTP 4xx)
    │   ├── AdapterExists           409
    │   ├── AdapterNotInCatalogue   404
    │   ├── ApiKeyNotFound          404
    │   ├── ApiKeyRequired          401
    │   ├── BatchNotFound           404
    │   ├── CrossSiteRequest        403
    │   ├── HostNotTrusted          421
    │   ├── DeliveryNotFound        404
    │   ├── InvalidRequest          422
    │   │   ├── AdapterNotFound
    │   │   ├── AdapterNotUsable
    │   │   ├── BaseModelNotServed
    │   │   └── IdempotencyConflict
    │   ├── JobNotFound             404
    │   ├── LimitExceeded           429
    │   ├── PinRefused              409
    │   ├── StatusConflict          409
    │   └── WebhookSecretFixed      409
    ├── ServiceUnavailable          a server that we need is away, or there is no room (HTTP 503)
    │   ├── ValkeyUnavailable
    │   ├── HubUnavailable
    │   ├── LoopOverdue
    │   ├── RecordNotUnderstood
    │   ├── ServerSilent
    │   ├── StorageUnavailable
    │   ├── TooManyTransfers
    │   └── TooManyWaiting
    ├── RequestRefused              a server refuses what our own client asks of it
    ├── JobFailed                   ends one job; its code and message are the record's ``error``
    │   ├── AdapterFetchFailed
    │   ├── AdapterLoadFailed
    │   ├── DeadlineExceeded
    │   ├── DrawingFailed
    │   ├── OutOfMemory
    │   └── WorkerLost
    ├── MachineFault                the worker or its machine is at fault: the job goes back, which counts against both
    │   ├── AdapterUnavailable      this machine cannot get or keep the adapter's file
    │   ├── AttemptStalled          the attempt made no progress for too long
    │   ├── DeviceFault             the device or its driver failed
    │   ├── DrawingFault            the pipeline raised an error that the request does not explain
    │   ├── SelfTestFailed          the worker cannot do what each job needs
    │   ├── StorageFault            storage takes no images from this worker
    │   └── UnknownFault            an error that the worker does not know
    ├── DrawingInterrupted          not the fault of the job: it goes back
    │   ├── BaseReplaced                the base was found changed, and loaded again, while others went first
    │   └── WorkerStopping              the worker shuts down
    ├── DeliveryFailed              a webhook was not accepted; it is sent again later
    ├── AddressRefused              a webhook leads into a network that is not public; it is not sent
    ├── LeftToAnother               the job failed on this worker's machine, and another worker is there to try it
    ├── EventSuperseded             a webhook would tell of an end that is one no more; it is not sent
    └── LeaseLost                   the job is another attempt's, or canceled: this one stops and leaves no trace

Each class has a stable ``code``, a ``title`` for the person who meets it, and an HTTP status or none.
"""

from __future__ import annotations

from typing import ClassVar, Self


class StokeholdError(Exception):
    """Root of the tree. ``str(error)`` is a sentence that says what to do."""

    code: ClassVar[str] = "error"
    title: ClassVar[str] = "Something went wrong"
    http_status: ClassVar[int | None] = None


class ConfigurationError(StokeholdError):
    """A setting or ``models.toml`` is wrong; raised at start."""

    code = "configuration"
    title = "The service is configured wrongly"


class RequestError(StokeholdError):
    """The request cannot be served as it is.

    Attributes:
        field: path of the field at fault in the request body (``adapters.0.ref``), or None.
    """

    code = "bad_request"
    title = "The request is not valid"
    http_status = 400

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class AdapterExists(RequestError):
    """The name of an adapter is taken."""

    code = "adapter_exists"
    title = "The adapter already exists"
    http_status = 409


class AdapterNotInCatalogue(RequestError):
    """The catalogue has no entry of this name, or it is another's."""

    code = "adapter_not_in_catalogue"
    title = "The adapter is not in the catalogue"
    http_status = 404


class ApiKeyNotFound(RequestError):
    """No API key has this id."""

    code = "api_key_not_found"
    title = "The API key does not exist"
    http_status = 404


class ApiKeyRequired(RequestError):
    """The service has API keys, and the request shows none that is good."""

    code = "api_key_required"
    title = "An API key is required"
    http_status = 401


class BatchNotFound(RequestError):
    """No batch has this id, or its record has expired."""

    code = "batch_not_found"
    title = "The batch does not exist"
    http_status = 404


class CrossSiteRequest(RequestError):
    """A web page of another site sends a request that would change something, and no API key protects the service."""

    code = "cross_site_request"
    title = "Pages of other sites may not use this service"
    http_status = 403


class HostNotTrusted(RequestError):
    """The request is for a host name that is not trusted, and no API key protects the service."""

    code = "host_not_trusted"
    title = "The service does not answer to this host name"
    http_status = 421


class DeliveryNotFound(RequestError):
    """No delivery of a webhook has this id, or it is another's, or it is kept no longer."""

    code = "delivery_not_found"
    title = "The delivery does not exist"
    http_status = 404


class InvalidRequest(RequestError):
    """A value is well-formed and cannot be served."""

    code = "invalid_request"
    title = "A field of the request is not valid"
    http_status = 422

    def at(self, field: str | None, addition: str = "") -> Self:
        """A new error like this one, of this field of the request; its message may go on with an addition."""
        return type(self)(f"{self}{addition}", field=field)


class AdapterNotFound(InvalidRequest):
    """No adapter has this reference, here or on the Hub."""

    code = "adapter_not_found"
    title = "The adapter does not exist"


class AdapterNotUsable(InvalidRequest):
    """The adapter exists and cannot be used: gated, no LoRA, no safetensors file, another base."""

    code = "adapter_not_usable"
    title = "The adapter cannot be used"


class BaseModelNotServed(InvalidRequest):
    """No worker of this service keeps the base model."""

    code = "base_model_not_served"
    title = "The base model is not served here"


class IdempotencyConflict(InvalidRequest):
    """The idempotency key was used for another request."""

    code = "idempotency_conflict"
    title = "The idempotency key was used for another request"


class JobNotFound(RequestError):
    """No job has this id, or its record has expired."""

    code = "job_not_found"
    title = "The job does not exist"
    http_status = 404


class LimitExceeded(RequestError):
    """The API key has used as much as it may for now.

    Attributes:
        retry_after_s: whole seconds after which the same request may be served.
    """

    code = "limit_exceeded"
    title = "A limit of this API key has been reached"
    http_status = 429

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class PinRefused(RequestError):
    """The workers' memory has no room for another pinned adapter, or the adapter cannot be pinned."""

    code = "pin_refused"
    title = "The adapter cannot be pinned"
    http_status = 409


class StatusConflict(RequestError):
    """The job's status does not allow this step."""

    code = "status_conflict"
    title = "The job's status does not allow this"
    http_status = 409


class WebhookSecretFixed(RequestError):
    """Without API keys there is one secret, which the operator chooses."""

    code = "webhook_secret_fixed"
    title = "The operator sets the webhook secret"
    http_status = 409


class ServiceUnavailable(StokeholdError):
    """A server that we depend on does not answer, or all room is taken; the same request may succeed later."""

    code = "unavailable"
    title = "The service is temporarily unavailable"
    http_status = 503


class ValkeyUnavailable(ServiceUnavailable):
    """Valkey/Redis does not answer."""

    code = "job_store_unavailable"
    title = "The job store is temporarily unavailable"


class HubUnavailable(ServiceUnavailable):
    """The model hub does not answer."""

    code = "hub_unavailable"
    title = "The model hub is temporarily unavailable"


class LoopOverdue(ServiceUnavailable):
    """A loop that brings jobs back, plans batches or delivers webhooks has finished no round for too long."""

    code = "loop_overdue"
    title = "A loop beside the requests is overdue"


class RecordNotUnderstood(ServiceUnavailable):
    """A record was written by a newer version, as happens while a service is updated; another process may read it."""

    code = "record_not_understood"
    title = "The record was written by a newer version"


class ServerSilent(ServiceUnavailable):
    """A server does not answer our own client."""

    code = "server_silent"
    title = "A server does not answer"


class StorageUnavailable(ServiceUnavailable):
    """The S3-compatible storage does not answer."""

    code = "storage_unavailable"
    title = "The storage is temporarily unavailable"


class TooManyTransfers(ServiceUnavailable):
    """As many files come in, or go out, as this process can carry at once."""

    code = "too_many_transfers"
    title = "Too many file transfers at once"


class TooManyWaiting(ServiceUnavailable):
    """As many requests wait for their images as this process can hold; no job was submitted."""

    code = "too_many_waiting"
    title = "Too many requests are waiting for their images"


class RequestRefused(StokeholdError):
    """A server refuses what our own client asks of it; the message has its reason."""

    code = "request_refused"
    title = "The server refuses"


class JobFailed(StokeholdError):
    """This job cannot be finished; the worker goes on with the next."""

    code = "failed"
    title = "The job failed"


class AdapterFetchFailed(JobFailed):
    """The adapter's file could not be fetched."""

    code = "adapter_fetch_failed"


class AdapterLoadFailed(JobFailed):
    """The adapter's file was fetched and cannot be merged into the base model."""

    code = "adapter_load_failed"


class DeadlineExceeded(JobFailed):
    """The job did not begin in the time that its client gave it."""

    code = "deadline_exceeded"


class DrawingFailed(JobFailed):
    """The pipeline cannot draw what the request asks for."""

    code = "drawing_failed"


class OutOfMemory(JobFailed):
    """The device has too little memory for this job."""

    code = "out_of_memory"


class WorkerLost(JobFailed):
    """Every attempt ended with the worker gone."""

    code = "worker_lost"


class MachineFault(StokeholdError):
    """An attempt failed for a reason that lies in the worker or its machine.

    The job goes back and is tried on another worker where there is one; the worker tests itself. A job of which every
    attempt ends like this fails with the ``code`` and the sentence of the last one, which name nothing of our insides.
    """

    code = "machine_fault"
    title = "A fault of the worker's machine"


class AdapterUnavailable(MachineFault):
    """This machine cannot get or keep the adapter's file: its disk, its folders, its way to the Hub or to storage."""

    code = "adapter_fetch_failed"


class AttemptStalled(MachineFault):
    """The attempt made no progress for too long, or took longer than any attempt may."""

    code = "attempt_stalled"


class DeviceFault(MachineFault):
    """The device or its driver failed: a lost context, an illegal access, a library that is not initialised."""

    code = "device_fault"


class DrawingFault(MachineFault):
    """The pipeline raised an error that the request does not explain; another worker may draw it."""

    code = "drawing_failed"


class SelfTestFailed(MachineFault):
    """The worker cannot do what each job needs: draw the image that it knows, keep a file, store an object.

    Attributes:
        is_of_base: loading the base model again may help.
    """

    code = "self_test_failed"

    def __init__(self, message: str, *, is_of_base: bool = False) -> None:
        super().__init__(message)
        self.is_of_base = is_of_base


class StorageFault(MachineFault):
    """Storage refuses this worker's objects, or was unavailable for too long."""

    code = "storage_unavailable"


class UnknownFault(MachineFault):
    """The worker met an error that it does not know."""

    code = "failed"


class DrawingInterrupted(StokeholdError):
    """The worker cannot draw this job to its end, through no fault of the job."""

    code = "drawing_interrupted"


class BaseReplaced(DrawingInterrupted):
    """The base was found changed, and loaded again, while this drawing let others go first."""

    code = "base_replaced"


class WorkerStopping(DrawingInterrupted):
    """The worker shuts down, and lets another one draw or publish this job."""

    code = "worker_stopping"


class DeliveryFailed(StokeholdError):
    """The receiver of a webhook did not accept it this time."""

    code = "delivery_failed"


class AddressRefused(StokeholdError):
    """A webhook leads to an address that is not of the public internet."""

    code = "address_refused"


class LeftToAnother(StokeholdError):
    """An attempt at the job met a fault of this worker's machine, and another worker is there to try it."""

    code = "left_to_another"


class EventSuperseded(StokeholdError):
    """The batch that had ended is being tried again, or has ended again."""

    code = "event_superseded"


class LeaseLost(StokeholdError):
    """The job belongs to another attempt, or to none; whatever this attempt made must not be published."""

    code = "lease_lost"
