"""The outcome of a try: delivered, tried again after a pause, or given up."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus

from tasks.webhooks.delivery import GIVE_UP_AFTER_S, RETRY_AFTER_S, Attempt, DeliveryStatus
from tasks.webhooks.stored import Taken

JITTER = 0.1
"""Part of a pause by which it varies, so that deliveries that failed together are not repeated together."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a try.

    Attributes:
        retry_after_s: while it is pending: seconds until the next try.
        answered: the receiver works, so that the circuit breaker closes.
    """

    attempt: Attempt
    status: DeliveryStatus
    retry_after_s: float = 0
    answered: bool = False


def answered(taken: Taken, status: int) -> Outcome:
    """Return the outcome of a try with a response."""
    attempt = Attempt(at=taken.at, status_code=status, reason=f"the receiver answered {status}")
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return Outcome(attempt, DeliveryStatus.DELIVERED, answered=True)
    if status == HTTPStatus.GONE:
        return Outcome(attempt, DeliveryStatus.FAILED, answered=True)
    return retried(taken, attempt)


def failed(taken: Taken, reason: str) -> Outcome:
    """Return the outcome of a try without a response."""
    return retried(taken, Attempt(at=taken.at, status_code=None, reason=reason))


def given_up(now: datetime, reason: str) -> Outcome:
    """Return the outcome of a try of a delivery that has nothing to report any more."""
    return Outcome(Attempt(at=now, status_code=None, reason=reason), DeliveryStatus.FAILED, answered=True)


def retried(taken: Taken, attempt: Attempt) -> Outcome:
    """Return the outcome of a failed try: another one, or none if it was the last."""
    age_s = (attempt.at - taken.delivery.created_at).total_seconds()
    if taken.tries >= len(RETRY_AFTER_S) or (age_s > GIVE_UP_AFTER_S and taken.tries):
        return Outcome(attempt, DeliveryStatus.FAILED)
    pause_s = RETRY_AFTER_S[taken.tries] * random.uniform(1 - JITTER, 1 + JITTER)
    return Outcome(attempt, DeliveryStatus.PENDING, retry_after_s=pause_s)
