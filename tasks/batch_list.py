"""A submitter's own batches, newest first, a page at a time."""

from __future__ import annotations

from typing import cast

from pydantic import BaseModel, ConfigDict, Field

from tasks.batch_records import BatchRecord, record_of
from tasks.batch_store import owner_key
from tasks.errors import InvalidRequest
from tasks.service import Service


class BatchPage(BaseModel):
    """Some of one's own batches, newest first."""

    model_config = ConfigDict(frozen=True)

    batches: tuple[BatchRecord, ...]
    next_before: str | None = Field(description="where the next page begins; null on the last one")


def list_batches(service: Service, owner: str | None, *, limit: int, before: str | None = None) -> BatchPage:
    """A page of an owner's batches.

    Args:
        limit: how many at most.
        before: id of the last one of the page before; None begins with the newest.

    Raises:
        InvalidRequest: the owner has no such batch.
    """
    place = -1 if before is None else service.broker.zrevrank(owner_key(owner), before)
    if place is None:
        raise InvalidRequest("before must be the next_before of a page before, or left out.", field="before")
    first = cast(int, place) + 1
    ids = cast(list[str], service.broker.zrevrange(owner_key(owner), first, first + limit))
    batches = service.batches.existing(ids[:limit])
    return BatchPage(
        batches=tuple(record_of(service, batch) for batch in batches),
        next_before=ids[limit - 1] if len(ids) > limit else None,
    )
