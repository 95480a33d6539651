"""Files that clients put into storage themselves, under URLs that they were promised.

What a client says of its file proves nothing, and with its URL it may replace the file for as long as the URL is good.
So an upload is only where a file comes from: ``own_copy`` has storage copy it to a key that no URL leads to, and reads
the copy to its end.

stokehold:client_upload:<id>   string  what was promised, until it is used or its note falls due
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from pydantic import BaseModel, ConfigDict, Field

from storage import ObjectNotFound, Storage, StorageError, StoredObject
from tasks.errors import InvalidRequest, LimitExceeded
from tasks.fields import StoredRecord, read
from tasks.holdings import PROMISE
from tasks.identifiers import identifier, is_identifier
from tasks.objects.notes import ObjectNotes
from tasks.valkey import Valkey

logger = logging.getLogger(__name__)

KEEP_S = 86_400
"""Seconds for which a file is kept after its URL has expired: an upload that began in time may end much later."""

MAX_BYTES = 1 << 30
"""The size that is counted for a file of unannounced size, which is one of a batch."""


class Promise(StoredRecord):
    """A place in storage that someone may fill.

    Attributes:
        sha256: of the file that will be there, as its sender says; None where that does not matter.
        size_bytes: of this file, as its sender says.
    """

    key: str
    owner: str | None
    sha256: str | None = None
    size_bytes: int | None = None


class ClientUpload(BaseModel):
    """The place to which a client sends a file."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(description="what a later request takes as `upload`")
    url: str = Field(description="URL for a PUT of the file, with these headers")
    headers: dict[str, str]
    expires_in_s: int


@dataclass(frozen=True)
class Promises:
    """The promises, each until it is used or its note falls due."""

    valkey: Valkey

    def put(self, upload_id: str, promise: Promise, keep_s: int) -> None:
        """Write a promise down, for as many seconds."""
        self.valkey.set(promise_key(upload_id), promise.model_dump_json(), ex=keep_s)

    def find(self, upload_id: str) -> Promise | None:
        """Return the promise of an upload, whatever came instead of its id."""
        text = cast(str | None, self.valkey.get(promise_key(upload_id))) if is_identifier(upload_id) else None
        return None if text is None else read(Promise, text, "This upload")

    def remove(self, upload_id: str) -> None:
        """Forget a promise."""
        self.valkey.delete(promise_key(upload_id))


@dataclass(frozen=True)
class ClientUploads:
    """Promises places in storage, and takes what clients have put there.

    Attributes:
        count_upload: counts a promise: of an owner, by its id, with its size in bytes, for this many seconds. Raises
            ``LimitExceeded`` for one too many.
        url_ttl_s: seconds for which the URL of an upload is good.
    """

    promises: Promises
    object_notes: ObjectNotes
    storage: Storage
    count_upload: Callable[[str | None, str, int, float], None]
    url_ttl_s: int

    def promise(self, upload_id: str, promised: Promise, content_type: str) -> ClientUpload:
        """Promise a place in storage. Storage refuses a file of another size than was promised.

        Raises:
            LimitExceeded: its owner has as many as it may, or they would take too many bytes.
            ValkeyUnavailable: Valkey does not answer.
        """
        keep_s = self.url_ttl_s + KEEP_S
        self.object_notes.note(promised.key, keep_s)
        self.promises.put(upload_id, promised, keep_s)
        try:
            size = MAX_BYTES if promised.size_bytes is None else promised.size_bytes
            self.count_upload(promised.owner, upload_id, size, keep_s)
        except LimitExceeded:
            self.promises.remove(upload_id)
            self.object_notes.give_up(promised.key)
            raise
        url = self.storage.upload_url(promised.key, content_type=content_type, size_bytes=promised.size_bytes)
        headers = {"Content-Type": content_type}
        return ClientUpload(id=upload_id, url=url, headers=headers, expires_in_s=self.url_ttl_s)

    def promised(self, upload_id: str, owner: str | None, *, max_bytes: int) -> Promise:
        """Return what was promised to an owner, once the file is there. A file of the wrong size is removed.

        Raises:
            InvalidRequest: nothing was promised, or the file is not there, too large, or of another size than promised.
            StorageError: storage is unavailable.
        """
        found = self.promises.find(upload_id)
        if found is None or found.owner != owner:
            raise InvalidRequest(f"There is no upload {upload_id[:64]!r}. Request a new one.", field="upload")
        size = self.storage.size(found.key)
        if size is None:
            raise not_there()
        if size > max_bytes or found.size_bytes not in (None, size):
            self.remove(found)
            expected = f"at most {max_bytes}" if found.size_bytes is None else str(found.size_bytes)
            raise InvalidRequest(
                f"The file has {size} bytes, but {expected} are expected. Send it again.", field="upload"
            )
        return found.model_copy(update={"size_bytes": size})

    def own_copy(self, promised: Promise, key: str) -> StoredObject:
        """Copy what a client has sent to ``key``, which must be noted, and read the copy, which proves what it is.

        The time of the request is bounded by the size, which was checked before.

        Raises:
            InvalidRequest: the file has gone meanwhile, or is not the one that was announced.
            StorageError: storage is unavailable.
        """
        try:
            self.storage.copy(promised.key, key)
        except ObjectNotFound as error:
            raise not_there() from error
        copied = self.storage.digest(key)
        if copied.bytes != promised.size_bytes or promised.sha256 not in (None, copied.sha256):
            self.remove(promised)
            raise InvalidRequest(
                f"The uploaded file is not the one that was announced: it has {copied.bytes} bytes and the "
                f"SHA-256 {copied.sha256}. Send it again.",
                field="upload",
            )
        return copied

    def remove(self, promised: Promise) -> None:
        """Remove what a client has sent. Its note stays: the URL may be used again, and retention looks once more."""
        try:
            self.storage.remove(promised.key)
        except StorageError as error:
            logger.warning("upload %s is removed later: %s", promised.key, error)


def not_there() -> InvalidRequest:
    """The error for a file that has not been sent."""
    return InvalidRequest("The file has not been uploaded yet. Send it with PUT to the upload's url.", field="upload")


def new_id() -> str:
    """Return an id that cannot be guessed."""
    return uuid.uuid4().hex


def promise_key(upload_id: str) -> str:
    """Return the key of a promise."""
    return PROMISE + identifier(upload_id)
