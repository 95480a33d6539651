"""Files that clients put into storage themselves, under URLs that they were promised.

stokehold:upload:<id>   string  what was promised, for a day
stokehold:uploaded      sorted  keys of promised objects that nobody has taken yet, by the time of the promise
"""

from __future__ import annotations

import uuid
from typing import cast

from pydantic import BaseModel, ConfigDict, Field

from tasks.errors import InvalidRequest
from tasks.frozen import Frozen
from tasks.service import Service

PROMISED = "stokehold:uploaded"
KEEP_S = 86_400


class Promise(Frozen):
    """A place in storage that someone may fill.

    Attributes:
        sha256: of the file that will be there; None where that does not matter.
        size_bytes: of this file.
    """

    key: str
    owner: str | None
    sha256: str | None = None
    size_bytes: int | None = None


class DirectUpload(BaseModel):
    """Where to put a file."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(description="what a later request takes as `upload`")
    url: str = Field(description="send the file there by PUT, with these headers")
    headers: dict[str, str]
    expires_in_s: int


def promise(service: Service, upload_id: str, promised: Promise, content_type: str) -> DirectUpload:
    """Promise a place in storage."""
    with service.broker.pipeline() as pipeline:
        pipeline.set(_upload(upload_id), promised.model_dump_json(), ex=KEEP_S)
        pipeline.zadd(PROMISED, {promised.key: service.store.now()})
        pipeline.execute()
    url = service.storage.upload_url(promised.key, content_type=content_type)
    headers = {"Content-Type": content_type}
    return DirectUpload(id=upload_id, url=url, headers=headers, expires_in_s=service.settings.url_ttl_s)


def promised_upload(service: Service, upload_id: str, owner: str | None, *, most_bytes: int) -> Promise:
    """What was promised to someone, once the file is there.

    Raises:
        InvalidRequest: nothing was promised, or the file is not there, too large, or of another size than promised.
    """
    text = cast(str | None, service.broker.get(_upload(upload_id)))
    found = None if text is None else Promise.model_validate_json(text)
    if found is None or found.owner != owner:
        raise InvalidRequest(f"There is no upload {upload_id[:64]!r}. Ask for a new one.", field="upload")
    size = service.storage.size(found.key)
    if size is None:
        raise InvalidRequest("The file is not there yet. Send it by PUT to the upload's url.", field="upload")
    if size > most_bytes or found.size_bytes not in (None, size):
        expected = f"at most {most_bytes}" if found.size_bytes is None else str(found.size_bytes)
        raise InvalidRequest(f"The file has {size} bytes, and {expected} are expected. Send it again.", field="upload")
    return found.model_copy(update={"size_bytes": size})


def take(service: Service, promised: Promise) -> None:
    """Note that a file is somebody's now."""
    service.broker.zrem(PROMISED, promised.key)


def remove_unclaimed(service: Service) -> None:
    """Remove files that nobody has taken: one step of retention.

    Raises:
        StorageError: storage is away.
    """
    before = service.store.now() - KEEP_S
    for key in cast(list[str], service.broker.zrangebyscore(PROMISED, "-inf", before)):
        service.storage.delete(key)
        service.broker.zrem(PROMISED, key)


def new_id() -> str:
    """An id that nobody guesses."""
    return uuid.uuid4().hex


def _upload(upload_id: str) -> str:
    return f"stokehold:upload:{upload_id}"
