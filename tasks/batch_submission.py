"""From a file of lines to a batch that waits to be planned.

stokehold:batch_keys:<digest>   string  the batch of an idempotency key, for a day
"""

from __future__ import annotations

import hashlib
from typing import cast

from storage import Readable
from tasks.batch import MAX_BYTES, Batch, BatchTerms
from tasks.batch_results import LINES_TYPE
from tasks.direct_uploads import DirectUpload, Promise, new_id, promise, promised_upload, take
from tasks.errors import BatchNotFound
from tasks.idempotency import KEEP_S
from tasks.service import Service
from tasks.webhooks import check_webhook


def submit_batch(service: Service, terms: BatchTerms, lines: Readable, *, idempotency_key: str | None = None) -> Batch:
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


def begin_upload(service: Service, owner: str | None) -> DirectUpload:
    """Promise a place in storage for a file of lines."""
    upload_id = new_id()
    return promise(service, upload_id, Promise(key=input_key(upload_id), owner=owner), LINES_TYPE)


def submit_uploaded(service: Service, terms: BatchTerms, upload_id: str) -> Batch:
    """Make a batch of a file that is in storage; of the same file, always the same.

    Raises:
        InvalidRequest: no such file was promised to this owner, it is not there, or it is too large.
    """
    check_terms(service, terms)
    promised = promised_upload(service, upload_id, terms.owner, most_bytes=MAX_BYTES)
    try:
        batch = service.batches.get(upload_id)
    except BatchNotFound:
        batch = record(service, upload_id, terms)
    take(service, promised)
    return batch


def check_terms(service: Service, terms: BatchTerms) -> None:
    """Check what is asked for beside the lines.

    Raises:
        InvalidRequest: it cannot be served.
    """
    if terms.webhook_url is not None:
        check_webhook(service.settings, terms.webhook_url, terms.owner)


def reserved_id(service: Service, owner: str | None, key: str | None) -> str:
    """The id of the batch of an idempotency key, or a new one."""
    batch_id = new_id()
    if key is None:
        return batch_id
    digest = hashlib.sha256(f"{owner or ''}:{key}".encode()).hexdigest()
    first = service.broker.set(f"stokehold:batch_keys:{digest}", batch_id, nx=True, ex=KEEP_S, get=True)
    return cast(str | None, first) or batch_id


def record(service: Service, batch_id: str, terms: BatchTerms) -> Batch:
    """Record a batch whose file is in storage; the light worker plans it."""
    return service.batches.create(batch_id, input_key(batch_id), terms)


def input_key(batch_id: str) -> str:
    """Where the file of a batch lies in storage."""
    return f"batches/{batch_id}/input.jsonl"
