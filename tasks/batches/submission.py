"""From a file of lines to a batch that waits for its plan."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from storage import Readable, Storage
from tasks.batches.batch import LINES_TYPE, MAX_BYTES, Batch, BatchOptions
from tasks.batches.store import BatchStore, another_request, request_key
from tasks.client_jobs.quotas import Quotas
from tasks.errors import BatchNotFound
from tasks.objects.client_uploads import ClientUpload, ClientUploads, OpenUpload, new_id
from tasks.objects.notes import ObjectNotes
from tasks.outbound.webhook_target import WebhookTargets

READ_BYTES = 1 << 20
UPLOADED_WITHIN_S = 86_400
"""Seconds for receiving a file and recording its batch."""


class Digested:
    """A stream whose content is digested while it is read."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()

    def read(self, count: int = -1, /) -> bytes:
        """Return the next bytes, none at the end of the stream."""
        content = self._stream.read(count)
        self._digest.update(content)
        return content

    def sha256(self) -> str:
        """Read the stream to its end, and return the digest of all of it."""
        while self.read(READ_BYTES):
            pass
        return self._digest.hexdigest()


@dataclass(frozen=True)
class BatchSubmissions:
    """Makes batches of files of lines."""

    batches: BatchStore
    quotas: Quotas
    storage: Storage
    notes: ObjectNotes
    client_uploads: ClientUploads
    webhook_targets: WebhookTargets

    def submit(self, options: BatchOptions, lines: Readable, *, idempotency_key: str | None = None) -> Batch:
        """Put a file into storage as it comes in, and make a batch of it; a known key gives its first batch.

        Each request writes a separate object, and the step that records the batch decides which of them is used.

        Raises:
            InvalidRequest: its webhook cannot be served.
            IdempotencyConflict: the key was used with another file or other options.
            StorageError: storage does not take the file.
        """
        if options.webhook_url is not None:
            self.webhook_targets.check(options.webhook_url, options.owner)
        key = None if idempotency_key is None else request_key(options.owner, idempotency_key)
        body = Digested(lines)
        if key is not None and (first := self.batches.first_of(key)):
            return sent_before(*first, request_digest(options, body.sha256()))
        batch_id = new_id()
        with self.notes.writing(input_key(batch_id), UPLOADED_WITHIN_S) as file:
            self.storage.upload_stream(file, body, content_type=LINES_TYPE)
            request, most = request_digest(options, body.sha256()), self.quotas.max_batches(options.owner)
            return self.batches.create(batch_id, file, options, request, key, most=most)[0]

    def begin_upload(self, owner: str | None) -> ClientUpload:
        """Begin the upload of a file of lines."""
        upload_id = new_id()
        upload = OpenUpload(key=f"batches/{upload_id}/upload.jsonl", owner=owner)
        return self.client_uploads.begin(upload_id, upload, LINES_TYPE)

    def submit_uploaded(self, options: BatchOptions, upload_id: str) -> Batch:
        """Make a batch of a file that is in storage; of the same file and options, always the same.

        Raises:
            InvalidRequest: this owner has no such upload, or its file is not there or too large.
            IdempotencyConflict: the file was submitted with other options.
        """
        if options.webhook_url is not None:
            self.webhook_targets.check(options.webhook_url, options.owner)
        request = request_digest(options, upload_id)
        upload = self.client_uploads.complete(upload_id, options.owner, max_bytes=MAX_BYTES)
        try:
            known = self.batches.get(upload_id)
        except BatchNotFound:
            with self.notes.writing(input_key(upload_id), UPLOADED_WITHIN_S) as file:
                self.client_uploads.own_copy(upload, file)
                most = self.quotas.max_batches(options.owner)
                return self.batches.create(upload_id, file, options, request, most=most)[0]
        return sent_before(known, known.request, request)


def sent_before(first: Batch, digest: str, request: str) -> Batch:
    """Return the first batch of a request that was sent before.

    Raises:
        IdempotencyConflict: it was another request.
    """
    if digest != request:
        raise another_request()
    return first


def request_digest(options: BatchOptions, file: str) -> str:
    """Return a digest that is the same for two equal requests.

    Args:
        file: digest, or name, of the file.
    """
    return hashlib.sha256(json.dumps([options.model_dump_json(), file]).encode()).hexdigest()


def input_key(batch_id: str) -> str:
    """Return a key for the file of a batch in storage, which is used once."""
    return f"batches/{batch_id}/input-{new_id()}.jsonl"
