"""The queue of deliveries, and the log of those that have ended. ``tasks/webhooks/ends.py`` has what comes before it.

Every receiver of every owner has a lane. An owner is served in turn with the others, and each of its receivers in turn,
so that nothing that is slow, dead or numerous delays another's. A receiver that has failed several times in a row is
asked by one delivery at a time, ever less often: a circuit breaker. It counts for each owner separately, or an owner
that sends to wrong paths of a server would silence it for all. A sender holds a delivery under a lease, for a little
longer than a try may take; when it lapses, the delivery is due again.

    stokehold:webhooks:delivery:<id>                hash    a delivery
    stokehold:webhooks:log:<owner>                  sorted  `<created>:<id>` of an owner's deliveries
    stokehold:webhooks:pending:<owner>              sorted  ids of those that are to be sent, by age
    stokehold:webhooks:done:<owner>                 sorted  ids of the others, by the time at which they ended
    stokehold:webhooks:lane:<owner>:<receiver>      sorted  ids of those for a receiver, by when they are due
    stokehold:webhooks:lanes:<owner>                sorted  an owner's receivers, by when to look at them
    stokehold:webhooks:owners                       sorted  owners, the same
    stokehold:webhooks:circuit:<owner>:<receiver>   hash    failures in a row, until when nothing is sent
    stokehold:webhooks:sending:key:<owner>          sorted  ids of those being sent, by the end of the lease
    stokehold:webhooks:sending:receiver:<receiver>  sorted  the same for all owners
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from redis.commands.core import Script

from tasks.errors import DeliveryNotFound, RecordNotUnderstood
from tasks.jobs.hash import datetime_of, flat
from tasks.jobs.keyspace import WEBHOOKS
from tasks.list_cursor import cursor_at, place_in
from tasks.outbound.safe_http import TOTAL_S
from tasks.outbound.webhook_target import receiver_of
from tasks.valkey import Valkey
from tasks.webhooks.delivery import (
    ID_PATTERN,
    MAX_ATTEMPTS_KEPT,
    MAX_ID_CHARACTERS,
    Delivery,
    DeliveryPage,
)
from tasks.webhooks.ends import End
from tasks.webhooks.outcome import Outcome
from tasks.webhooks.stored import ATTEMPTS, Taken, delivery_of, known_deliveries, taken_of

logger = logging.getLogger(__name__)

LEASE_S = TOTAL_S + 5
LOOK_AGAIN_S = 1
LOOKS = 100


@dataclass(frozen=True)
class Bounds:
    """The limits of the queue.

    Attributes:
        pending: deliveries of an owner that wait; then the oldest is dropped.
        done: ended deliveries of an owner that are kept.
        at_once_for_owner: deliveries of an owner that are sent at once.
        at_once_at_receiver: deliveries that a receiver gets at once, from all owners together.
        failures: failures in a row after which a receiver is asked less often.
        closed_s: seconds for which it is not asked then, twice as many after each further failure.
        max_closed_s: the largest number of these seconds.
    """

    pending: int = 5000
    done: int = 1000
    at_once_for_owner: int = 4
    at_once_at_receiver: int = 8
    failures: int = 5
    closed_s: float = 30
    max_closed_s: float = 600


class Deliveries:
    """The deliveries, in Valkey or Redis. Every step is atomic and may be repeated.

    Args:
        keep_s: seconds for which a delivery is kept.
    """

    def __init__(self, valkey: Valkey, *, keep_s: int, bounds: Bounds = Bounds()) -> None:
        self._valkey = valkey
        self._keep_s = keep_s
        self._bounds = bounds
        self._enlist = script(valkey, "webhooks/enlist")
        self._take = script(valkey, "webhooks/take")
        self._settle = script(valkey, "webhooks/settle")
        self._redeliver = script(valkey, "webhooks/redeliver")

    def enlist(self, end: End) -> None:
        """Make a delivery of an end."""
        fields = {"end": end.name, "event": end.event, "url": end.url}
        place = [end.name, end.delivery_id, end.owner or "", receiver_of(end.url)]
        self._enlist(
            keys=[WEBHOOKS], args=[*place, self._keep_s, self._bounds.pending, self._bounds.done, *flat(fields)]
        )

    def take(self) -> Taken | None:
        """Take the delivery whose turn it is; return None if nothing is due, or all that is due has to wait for others.

        One that a newer version has recorded is left to a process that understands it.
        """
        bounds = self._bounds
        most = [bounds.at_once_for_owner, bounds.at_once_at_receiver, bounds.failures]
        while True:
            claim = uuid.uuid4().hex
            answer = self._take(keys=[WEBHOOKS], args=[claim, LEASE_S, *most, LOOK_AGAIN_S, LOOKS])
            if answer is None:
                return None
            delivery_id, now, values = answer
            try:
                return taken_of(claim, datetime_of(now), delivery_id, dict(zip(values[::2], values[1::2], strict=True)))
            except RecordNotUnderstood as error:
                logger.error("%s", error)

    def settle(self, taken: Taken, outcome: Outcome) -> bool:
        """Note the outcome of a try.

        Returns:
            False if the lease had lapsed and another process sends the delivery.
        """
        bounds, attempts = self._bounds, (*taken.delivery.attempts, outcome.attempt)[-MAX_ATTEMPTS_KEPT:]
        note: list[str | float] = [
            outcome.status,
            ATTEMPTS.dump_json(attempts).decode(),
            outcome.retry_after_s,
            int(outcome.answered),
        ]
        circuit: list[float] = [bounds.failures, bounds.closed_s, bounds.max_closed_s]
        return bool(self._settle(keys=[WEBHOOKS], args=[taken.delivery.id, taken.claim, *note, *circuit, bounds.done]))

    def page(self, owner: str | None, *, limit: int, cursor: str | None = None) -> DeliveryPage:
        """Return a page of an owner's deliveries, newest first.

        Args:
            limit: largest number of deliveries.
            cursor: of the page before; None begins with the newest.

        Raises:
            InvalidRequest: no page has ever had this cursor.
        """
        first = "+" if cursor is None else f"({place_in(cursor)}"
        log = f"{WEBHOOKS}:log:{owner or ''}"
        places = cast(list[str], self._valkey.zrange(log, first, "-", desc=True, bylex=True, offset=0, num=limit + 1))
        return DeliveryPage(
            deliveries=self._existing([place.partition(":")[2] for place in places[:limit]]),
            next_cursor=cursor_at(places[limit - 1]) if len(places) > limit else None,
        )

    def get(self, owner: str | None, delivery_id: str) -> Delivery:
        """Return a delivery of this owner.

        Raises:
            DeliveryNotFound: there is none, or it belongs to another owner, which the message does not say.
        """
        can_be = re.fullmatch(ID_PATTERN, delivery_id) is not None
        fields = cast(dict[str, str], self._valkey.hgetall(delivery_key(delivery_id))) if can_be else {}
        if fields.get("owner") != (owner or ""):
            raise DeliveryNotFound(
                f"There is no delivery {delivery_id[:MAX_ID_CHARACTERS]!r}. Those of old jobs are not kept."
            )
        return delivery_of(delivery_id, fields)

    def redeliver(self, owner: str | None, delivery_id: str) -> Delivery:
        """Send a delivery of this owner again, with all its tries.

        Raises:
            DeliveryNotFound: there is none, or it belongs to another owner, which the message does not say.
        """
        found = self.get(owner, delivery_id)
        self._redeliver(keys=[WEBHOOKS], args=[found.id, owner or "", self._bounds.pending, self._bounds.done])
        return self.get(owner, delivery_id)

    def _existing(self, ids: Sequence[str]) -> tuple[Delivery, ...]:
        """The deliveries of these ids, without those that are gone."""
        with self._valkey.pipeline(transaction=False) as pipeline:
            for delivery_id in ids:
                pipeline.hgetall(delivery_key(delivery_id))
            hashes = pipeline.execute()
        return tuple(known_deliveries(dict(zip(ids, hashes, strict=True))))


def script(valkey: Valkey, name: str) -> Script:
    """A script of the queue."""
    return valkey.script("webhooks/queue", name)


def delivery_key(delivery_id: str) -> str:
    """A delivery."""
    return f"{WEBHOOKS}:delivery:{delivery_id}"
