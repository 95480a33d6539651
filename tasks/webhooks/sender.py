"""Sends the deliveries: a bounded number of threads, each with one delivery at a time."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from threading import Lock
from typing import Self

from tasks.errors import (
    AddressRefused,
    BatchNotFound,
    DeliveryFailed,
    EventSuperseded,
    JobNotFound,
    RecordNotUnderstood,
    ServiceUnavailable,
)
from tasks.jobs.keyspace import WEBHOOKS
from tasks.loops.quarantine import Quarantine
from tasks.outbound.host_addresses import NO_ADDRESS
from tasks.webhooks.deliveries import Deliveries
from tasks.webhooks.ends import Ends
from tasks.webhooks.notice import Notice, Notices
from tasks.webhooks.outcome import Outcome, answered, failed, given_up
from tasks.webhooks.secrets import WebhookSecrets
from tasks.webhooks.stored import Taken

logger = logging.getLogger(__name__)

THREADS = 32
ENDS_AT_A_TIME = 200
ENDS_A_ROUND = 2000
POSTPONED_S = 60

Post = Callable[[str, bytes, dict[str, str]], int]
"""Sends a body to a URL, and returns the status of the response."""


class Sender:
    """Makes deliveries of ends, and sends those that are due.

    Args:
        quarantine: takes an end that raises repeatedly out of the index of ends.
        post: sends a delivery, within a bounded time.
    """

    def __init__(
        self,
        ends: Ends,
        deliveries: Deliveries,
        secrets: WebhookSecrets,
        notices: Notices,
        quarantine: Quarantine,
        *,
        post: Post,
    ) -> None:
        self._ends = ends
        self._deliveries = deliveries
        self._secrets = secrets
        self._notices = notices
        self._quarantine = quarantine
        self._post = post
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="webhook")
        self._taking = Lock()
        self._free = THREADS
        self._stopping = False

    def round(self) -> None:
        """Make deliveries of the ends that came, and begin to send what is due."""
        self.enlist_ends()
        self.begin()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Begin no further delivery, and wait for those that are being sent."""
        with self._taking:
            self._stopping = True
        self._threads.shutdown()

    def enlist_ends(self) -> None:
        """Make deliveries of the ends that came."""
        for _ in range(ENDS_A_ROUND // ENDS_AT_A_TIME):
            names = self._ends.names(ENDS_AT_A_TIME)
            for name in names:
                self._enlist(name)
            if len(names) < ENDS_AT_A_TIME:
                return

    def begin(self) -> None:
        """Let each thread that is free send a delivery that is due."""
        with self._taking:
            while self._free and not self._stopping and (taken := self._deliveries.take()):
                self._free -= 1
                self._threads.submit(self._work, taken)

    def _work(self, taken: Taken) -> None:
        try:
            self.send(taken)
        except ServiceUnavailable as error:
            logger.warning("delivery %s is sent again when its lease has lapsed: %s", taken.delivery.id, error)
        except Exception:
            logger.exception("delivery %s is sent again", taken.delivery.id)
        with self._taking:
            self._free += 1
        try:
            self.begin()
        except ServiceUnavailable as error:
            logger.warning("the next delivery waits for the next round: %s", error)
        except Exception:
            logger.exception("the next delivery waits for the next round")

    def _enlist(self, name: str) -> None:
        """Make a delivery of an end. One that raises stops none behind it."""
        try:
            self._quarantine.attempt(WEBHOOKS, name, partial(self._make_delivery, name))
        except ServiceUnavailable:
            raise
        except Exception:
            logger.exception("the end of %s is tried again in %d s", name, POSTPONED_S)

    def _make_delivery(self, name: str) -> None:
        """Make a delivery of an end.

        Raises:
            Exception: it is tried again later, in a minute if its record is at fault.
        """
        try:
            self._deliveries.enlist(self._notices.end(name))
        except (BatchNotFound, JobNotFound, EventSuperseded) as error:
            logger.warning("no message of the end of %s is sent: %s", name, error)
            self._ends.forget(name)
        except RecordNotUnderstood:
            self._ends.postpone(name, POSTPONED_S)
            raise
        except ServiceUnavailable:
            raise
        except Exception:
            self._ends.postpone(name, POSTPONED_S)
            raise

    def send(self, taken: Taken) -> None:
        """One try, and a note of how it ended.

        Raises:
            ValkeyUnavailable: it cannot be noted; when the lease has lapsed, the delivery is sent again.
        """
        outcome = self._try(taken)
        attempt, delivery = outcome.attempt, taken.delivery
        if not self._deliveries.settle(taken, outcome):
            logger.warning("delivery %s took longer than its lease, and is sent again", delivery.id)
        logger.info("delivery %s is %s: %s", delivery.id, outcome.status, attempt.reason)

    def _try(self, taken: Taken) -> Outcome:
        """Send a delivery, and return the outcome.

        Raises:
            ServiceUnavailable: its record cannot be read at the moment, or not by this version.
        """
        again = partial(failed, taken)
        try:
            notice = self._notices.notice(taken.end)
            if notice.end.delivery_id != taken.delivery.id:
                raise EventSuperseded("the batch was tried again since, and its later end has another message")
            status = self._post(taken.delivery.url, *self._message(notice, taken.at))
        except (BatchNotFound, JobNotFound):
            return given_up(taken.at, "the record has expired")
        except EventSuperseded as error:
            return given_up(taken.at, str(error))
        except AddressRefused as error:
            logger.warning("delivery %s is not sent: %s", taken.delivery.id, error)
            # The same words as for a name that does not exist, so that it reveals no name in our network.
            return again(NO_ADDRESS)
        except DeliveryFailed as error:
            logger.info("delivery %s met %r", taken.delivery.id, error.__cause__)
            return again(str(error))
        except ServiceUnavailable:
            raise
        except Exception:
            logger.exception("delivery %s could not be made", taken.delivery.id)
            return again("it could not be sent, through no fault of the receiver")
        return answered(taken, status)

    def _message(self, notice: Notice, now: datetime) -> tuple[bytes, dict[str, str]]:
        """Return the body of a message, and the headers that sign it."""
        body, message_id = notice.body, notice.end.delivery_id
        signers = self._secrets.signers(notice.end.owner, now)
        headers = {
            "content-type": "application/json",
            "user-agent": "Stokehold",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signer.sign(message_id, now, body) for signer in signers),
        }
        return body.encode(), headers
