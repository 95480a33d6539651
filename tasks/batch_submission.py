"""From a file of lines to a batch that waits to be planned.

stokehold:batch_keys:<digest>   string  the batch of an idempotency key, for a day
stokehold:batch_upload:<id>     string  the owner of a file that may be put into storage directly, for a day
stokehold:batch_uploads         sorted  ids of such files that no batch has taken yet, by the time of the promise
"""

from __future__ import annotations

import hashlib
import logging
import uuid
from typing import IO, cast

from kombu.exceptions import OperationalError
from pydantic import BaseModel, ConfigDict, Field

from tasks.batch import MAX_BYTES, Batch, BatchTerms
from tasks.batch_results import LINES_TYPE
from tasks.errors import BatchNotFound, InvalidRequest
from tasks.idempotency import KEEP_S
from tasks.routing import LIGHT_QUEUE, PLAN_BATCHES
from tasks.service import Service
from tasks.webhooks import check_webhook

logger = logging.getLogger(__name__)

UPLOADS = "stokehold:batch_uploads"
UPLOAD_S = 86_400


class BatchUpload(BaseModel):
    """Where to put a file that is to become a batch."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(description="what `POST /v1/batches` takes as `upload`")
    url: str = Field(description="send the file there by PUT, with the header `Content-Type: application/jsonl`")
    expires_in_s: int


def submit_batch(service: Service, terms: BatchTerms, lines: IO[bytes], *, idempotency_key: str | None = None) -> Batch:
    """Put a file into storage as it comes in, and make a batch of it; a known key gives its first batch.

    Raises:
        InvalidRequest: its webhook cannot be served.
        StorageError: storage does not take the file.
    """
    check_terms(service, terms)
    batch_id = reserved_id(service, terms.owner, idempotency_key)
    try:
        return service.batches.get(batch_id)
    except BatchNotFound:
        service.storage.upload_stream(input_key(batch_id), lines, content_type=LINES_TYPE)
    return record(service, batch_id, terms)


def begin_upload(service: Service, owner: str | None) -> BatchUpload:
    """Promise a place in storage for a file."""
    upload_id = uuid.uuid4().hex
    with service.broker.pipeline() as pipeline:
        pipeline.set(_upload(upload_id), owner or "", ex=UPLOAD_S)
        pipeline.zadd(UPLOADS, {upload_id: service.store.now()})
        pipeline.execute()
    url = service.storage.upload_url(input_key(upload_id), content_type=LINES_TYPE)
    return BatchUpload(id=upload_id, url=url, expires_in_s=service.settings.url_ttl_s)


def submit_uploaded(service: Service, terms: BatchTerms, upload_id: str) -> Batch:
    """Make a batch of a file that is in storage; of the same file, always the same.

    Raises:
        InvalidRequest: no such file was promised to this owner, it is not there, or it is too large.
    """
    check_terms(service, terms)
    promised = cast(str | None, service.broker.get(_upload(upload_id)))
    if promised != (terms.owner or ""):
        raise InvalidRequest(f"There is no upload {upload_id!r}. Begin with POST /v1/batches/uploads.", field="upload")
    try:
        return service.batches.get(upload_id)
    except BatchNotFound:
        size = service.storage.size(input_key(upload_id))
    if size is None:
        raise InvalidRequest("The file is not there yet. Send it by PUT to the upload's url.", field="upload")
    if size > MAX_BYTES:
        raise InvalidRequest(f"The file has more than {MAX_BYTES} bytes. Send it in parts.", field="upload")
    batch = record(service, upload_id, terms)
    service.broker.zrem(UPLOADS, upload_id)
    return batch


def remove_unclaimed(service: Service) -> None:
    """Remove files that were put into storage and never became a batch: one step of retention.

    Raises:
        StorageError: storage is away.
    """
    before = service.store.now() - UPLOAD_S
    for upload_id in cast(list[str], service.broker.zrangebyscore(UPLOADS, "-inf", before)):
        service.storage.delete(input_key(upload_id))
        service.broker.zrem(UPLOADS, upload_id)


def check_terms(service: Service, terms: BatchTerms) -> None:
    """Check what is asked for beside the lines.

    Raises:
        InvalidRequest: it cannot be served.
    """
    if terms.webhook_url is not None:
        check_webhook(service.settings, terms.webhook_url)


def reserved_id(service: Service, owner: str | None, key: str | None) -> str:
    """The id of the batch of an idempotency key, or a new one."""
    batch_id = uuid.uuid4().hex
    if key is None:
        return batch_id
    digest = hashlib.sha256(f"{owner or ''}:{key}".encode()).hexdigest()
    first = service.broker.set(f"stokehold:batch_keys:{digest}", batch_id, nx=True, ex=KEEP_S, get=True)
    return cast(str | None, first) or batch_id


def record(service: Service, batch_id: str, terms: BatchTerms) -> Batch:
    """Record a batch whose file is in storage, and have it planned at once if the broker takes the message."""
    batch = service.batches.create(batch_id, input_key(batch_id), terms)
    try:
        service.celery.send_task(PLAN_BATCHES, queue=LIGHT_QUEUE, ignore_result=True)
    except OperationalError as error:
        logger.warning("batch %s is planned with the next round: %s", batch_id, error)
    return batch


def input_key(batch_id: str) -> str:
    """Where the file of a batch lies in storage."""
    return f"batches/{batch_id}/input.jsonl"


def _upload(upload_id: str) -> str:
    return f"stokehold:batch_upload:{upload_id}"
