"""Files that clients put into storage themselves, under presigned URLs.

A client's description of its file proves nothing, and with its URL it may replace the file for as long as the URL is
valid. So a file is never used where it was uploaded: ``own_copy`` lets storage copy it to a key that no URL leads to,
and reads the whole copy.

stokehold:client_upload:<id>   string  an open upload, until its file is used or its note is due
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
from tasks.holdings import OPEN_UPLOAD
from tasks.identifiers import identifier, is_identifier
from tasks.objects.notes import ObjectNotes
from tasks.valkey import Valkey

logger = logging.getLogger(__name__)

KEEP_S = 86_400
"""Seconds for which a file is kept after its URL has expired: an upload that began in time may end much later."""

MAX_BYTES = 1 << 30
"""The size that is counted for a file of unannounced size, which is one of a batch."""


class OpenUpload(StoredRecord):
    """An upload that a client has begun and whose file is not used yet.

    Attributes:
        sha256: SHA-256 of the file, as the client says; None where that does not matter.
        size_bytes: size of the file, as the client says.
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
class OpenUploads:
    """The open uploads, each until its file is used or its note is due."""

    valkey: Valkey

    def put(self, upload_id: str, upload: OpenUpload, keep_s: int) -> None:
        """Record an upload for this many seconds."""
        self.valkey.set(open_upload_key(upload_id), upload.model_dump_json(), ex=keep_s)

    def find(self, upload_id: str) -> OpenUpload | None:
        """Return the upload of this id; None if there is none, or the text is not an id."""
        text = cast(str | None, self.valkey.get(open_upload_key(upload_id))) if is_identifier(upload_id) else None
        return None if text is None else read(OpenUpload, text, "This upload")

    def remove(self, upload_id: str) -> None:
        """Forget an upload."""
        self.valkey.delete(open_upload_key(upload_id))


@dataclass(frozen=True)
class ClientUploads:
    """Lets clients upload files, and takes the files that they have uploaded.

    Attributes:
        count_upload: counts an upload: its owner, id, size in bytes, and seconds. Raises ``LimitExceeded`` for one too
            many.
        url_ttl_s: seconds for which the URL of an upload is valid.
    """

    open_uploads: OpenUploads
    object_notes: ObjectNotes
    storage: Storage
    count_upload: Callable[[str | None, str, int, float], None]
    url_ttl_s: int

    def begin(self, upload_id: str, upload: OpenUpload, content_type: str) -> ClientUpload:
        """Begin an upload. Storage refuses a file of another size than was announced.

        Raises:
            LimitExceeded: its owner has as many as it may, or they would take too many bytes.
            ValkeyUnavailable: Valkey does not answer.
        """
        keep_s = self.url_ttl_s + KEEP_S
        self.object_notes.note(upload.key, keep_s)
        self.open_uploads.put(upload_id, upload, keep_s)
        try:
            size = MAX_BYTES if upload.size_bytes is None else upload.size_bytes
            self.count_upload(upload.owner, upload_id, size, keep_s)
        except LimitExceeded:
            self.open_uploads.remove(upload_id)
            self.object_notes.give_up(upload.key)
            raise
        url = self.storage.upload_url(upload.key, content_type=content_type, size_bytes=upload.size_bytes)
        headers = {"Content-Type": content_type}
        return ClientUpload(id=upload_id, url=url, headers=headers, expires_in_s=self.url_ttl_s)

    def complete(self, upload_id: str, owner: str | None, *, max_bytes: int) -> OpenUpload:
        """Return an upload of this owner whose file has arrived. A file of the wrong size is removed.

        Raises:
            InvalidRequest: there is no such upload, or its file is not there, too large, or not of the announced size.
            StorageError: storage is unavailable.
        """
        found = self.open_uploads.find(upload_id)
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

    def own_copy(self, upload: OpenUpload, key: str) -> StoredObject:
        """Copy the file of an upload to ``key``, which must be noted, and read the copy, which proves its content.

        The time of the request is bounded by the size, which was checked before.

        Raises:
            InvalidRequest: the file has been removed meanwhile, or is not the one that was announced.
            StorageError: storage is unavailable.
        """
        try:
            self.storage.copy(upload.key, key)
        except ObjectNotFound as error:
            raise not_there() from error
        copied = self.storage.digest(key)
        if copied.bytes != upload.size_bytes or upload.sha256 not in (None, copied.sha256):
            self.remove(upload)
            raise InvalidRequest(
                f"The uploaded file is not the one that was announced: it has {copied.bytes} bytes and the "
                f"SHA-256 {copied.sha256}. Send it again.",
                field="upload",
            )
        return copied

    def remove(self, upload: OpenUpload) -> None:
        """Remove the file of an upload. Its note stays, since the URL may be used again, and retention removes that."""
        try:
            self.storage.remove(upload.key)
        except StorageError as error:
            logger.warning("upload %s is removed later: %s", upload.key, error)


def not_there() -> InvalidRequest:
    """Return the error for a file that has not been uploaded."""
    return InvalidRequest("The file has not been uploaded yet. Send it with PUT to the upload's url.", field="upload")


def new_id() -> str:
    """Return an id that cannot be guessed."""
    return uuid.uuid4().hex


def open_upload_key(upload_id: str) -> str:
    """Return the key of an open upload."""
    return OPEN_UPLOAD + identifier(upload_id)
