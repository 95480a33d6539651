"""Deliveries as they are read from their hashes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import TypeAdapter

from tasks.errors import RecordNotUnderstood
from tasks.fields import understood
from tasks.jobs.hash import datetime_of
from tasks.jobs.keyspace import BATCH
from tasks.webhooks.delivery import Attempt, Delivery, DeliveryStatus

ATTEMPTS = TypeAdapter(tuple[Attempt, ...])


@dataclass(frozen=True)
class Taken:
    """A delivery that this process may send.

    Attributes:
        claim: makes it this one's until its lease lapses.
        end: name of the end.
        tries: number of tries before this one, since the last redelivery.
        at: the time of this one, by the store's clock.
    """

    claim: str
    end: str
    owner: str | None
    tries: int
    at: datetime
    delivery: Delivery


def taken_of(claim: str, now: datetime, delivery_id: str, fields: Mapping[str, str]) -> Taken:
    """Build what was taken from the hash of its delivery.

    Raises:
        RecordNotUnderstood: another version has recorded it.
    """
    delivery = delivery_of(delivery_id, fields)
    return Taken(
        claim=claim,
        end=fields["end"],
        owner=fields["owner"] or None,
        tries=int(fields["tries"]),
        at=now,
        delivery=delivery,
    )


def known_deliveries(deliveries: Mapping[str, Mapping[str, str]]) -> list[Delivery]:
    """The deliveries of these hashes, by id, without those that are gone or, as the log says, not understood."""
    return understood(delivery_of, {name: fields for name, fields in deliveries.items() if fields})


def delivery_of(delivery_id: str, fields: Mapping[str, str]) -> Delivery:
    """Build a delivery from its hash.

    Raises:
        RecordNotUnderstood: another version has recorded it.
    """
    try:
        end = fields["end"]
        return Delivery(
            id=delivery_id,
            event=fields["event"],
            job=None if end.startswith(BATCH) else end,
            batch=end.removeprefix(BATCH) if end.startswith(BATCH) else None,
            url=fields["url"],
            status=DeliveryStatus(fields["status"]),
            created_at=datetime_of(fields["created"]),
            attempts=ATTEMPTS.validate_json(fields.get("attempts", "[]")),
            next_attempt_at=datetime_of(fields["due"]) if "due" in fields else None,
        )
    except (KeyError, ValueError) as error:
        raise RecordNotUnderstood(
            f"Delivery {delivery_id!r} was recorded by another version of this service. Try again soon."
        ) from error
