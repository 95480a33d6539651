"""One delivery of a webhook, as its owner sees it, and the times at which it is tried."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

ID_PATTERN = "^msg_[A-Za-z0-9-]{1,80}$"
MAX_ID_CHARACTERS = 84
RETRY_AFTER_S = (5, 30, 120, 600, 1800, 3600, 7200, 14_400, 28_800)
"""Seconds from one try to the next: ten tries within sixteen hours."""
TRIES = len(RETRY_AFTER_S) + 1
GIVE_UP_AFTER_S = 86_400
"""A delivery that waits for a receiver which is not asked any more is given up after this time."""
MAX_ATTEMPTS_KEPT = 20


class DeliveryStatus(StrEnum):
    """The state of a delivery."""

    PENDING = "pending"
    """It will be tried, or tried again."""
    DELIVERED = "delivered"
    """The receiver has responded with a status from 200 to 299."""
    FAILED = "failed"
    """It is not tried any more: the last try has failed, or the receiver is gone for good (410)."""
    DROPPED = "dropped"
    """It was never tried to the end: too many newer ones were waiting."""


class Attempt(BaseModel):
    """One try."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    status_code: int | None = Field(description="status with which the receiver responded; null if it did not")
    reason: str = Field(description="outcome in words")


class Delivery(BaseModel):
    """A delivery, as its owner sees it. Times are in UTC."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(pattern=ID_PATTERN, description="also the header `webhook-id` of every try")
    event: str = Field(description="`job.succeeded`, `batch.completed` and so on")
    job: str | None = Field(description="id of the job that has ended")
    batch: str | None = Field(description="id of the batch that has ended")
    url: str
    status: DeliveryStatus
    created_at: datetime
    attempts: tuple[Attempt, ...] = Field(description="the latest 20, the oldest first")
    next_attempt_at: datetime | None = Field(
        description="earliest time of the next try, while it is pending; later if its receiver has failed repeatedly"
    )


class DeliveryPage(BaseModel):
    """A page of the client's deliveries, newest first."""

    model_config = ConfigDict(frozen=True)

    deliveries: tuple[Delivery, ...]
    next_cursor: str | None = Field(description="cursor of the next page; null on the last page")
