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
    │   │   └── AdapterWithoutEffect    nothing in its file has a place in the base model
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

from tasks.errors.attempt import (
    AdapterUnavailable,
    AttemptStalled,
    BaseReplaced,
    DeviceFault,
    DrawingFault,
    DrawingInterrupted,
    LeaseLost,
    LeftToAnother,
    MachineFault,
    SelfTestFailed,
    StorageFault,
    UnknownFault,
    WorkerStopping,
)
from tasks.errors.job import (
    AdapterFetchFailed,
    AdapterLoadFailed,
    AdapterWithoutEffect,
    DeadlineExceeded,
    DrawingFailed,
    JobFailed,
    OutOfMemory,
    WorkerLost,
)
from tasks.errors.request import (
    AdapterExists,
    AdapterNotFound,
    AdapterNotInCatalogue,
    AdapterNotUsable,
    ApiKeyNotFound,
    ApiKeyRequired,
    BaseModelNotServed,
    BatchNotFound,
    CrossSiteRequest,
    DeliveryNotFound,
    HostNotTrusted,
    IdempotencyConflict,
    InvalidRequest,
    JobNotFound,
    LimitExceeded,
    PinRefused,
    RequestError,
    StatusConflict,
    WebhookSecretFixed,
)
from tasks.errors.root import ConfigurationError, RequestRefused, StokeholdError
from tasks.errors.unavailable import (
    HubUnavailable,
    LoopOverdue,
    RecordNotUnderstood,
    ServerSilent,
    ServiceUnavailable,
    SourceUnavailable,
    StorageUnavailable,
    TooManyTransfers,
    TooManyWaiting,
    ValkeyUnavailable,
)
from tasks.errors.webhook import AddressRefused, DeliveryFailed, EventSuperseded

__all__ = [
    "AdapterExists",
    "AdapterFetchFailed",
    "AdapterLoadFailed",
    "AdapterNotFound",
    "AdapterNotInCatalogue",
    "AdapterNotUsable",
    "AdapterUnavailable",
    "AdapterWithoutEffect",
    "AddressRefused",
    "ApiKeyNotFound",
    "ApiKeyRequired",
    "AttemptStalled",
    "BaseModelNotServed",
    "BaseReplaced",
    "BatchNotFound",
    "ConfigurationError",
    "CrossSiteRequest",
    "DeadlineExceeded",
    "DeliveryFailed",
    "DeliveryNotFound",
    "DeviceFault",
    "DrawingFailed",
    "DrawingFault",
    "DrawingInterrupted",
    "EventSuperseded",
    "HostNotTrusted",
    "HubUnavailable",
    "IdempotencyConflict",
    "InvalidRequest",
    "JobFailed",
    "JobNotFound",
    "LeaseLost",
    "LeftToAnother",
    "LimitExceeded",
    "LoopOverdue",
    "MachineFault",
    "OutOfMemory",
    "PinRefused",
    "RecordNotUnderstood",
    "RequestError",
    "RequestRefused",
    "SelfTestFailed",
    "ServerSilent",
    "ServiceUnavailable",
    "SourceUnavailable",
    "StatusConflict",
    "StokeholdError",
    "StorageFault",
    "StorageUnavailable",
    "TooManyTransfers",
    "TooManyWaiting",
    "UnknownFault",
    "ValkeyUnavailable",
    "WebhookSecretFixed",
    "WorkerLost",
    "WorkerStopping",
]
