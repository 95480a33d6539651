"""Tell a submitter's server that a job or a batch has ended, signed as the Standard Webhooks specification says.

The step that ends it notes in the same moment that a delivery is due (``tasks/lua``), and only a delivery that is over
is taken off the list. So none is lost with a process; one may come twice, and then has the same ``webhook-id``.
"""

from __future__ import annotations

import ipaddress
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import urlsplit

from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError

from tasks import safe_http
from tasks.batch import Batch
from tasks.batch_records import record_of as batch_record_of
from tasks.errors import AddressRefused, BatchNotFound, ConfigurationError, DeliveryFailed, InvalidRequest, JobNotFound
from tasks.job import Job
from tasks.job_keys import BATCH, WEBHOOKS
from tasks.records import record_of
from tasks.service import Service
from tasks.settings import Settings

logger = logging.getLogger(__name__)

FIRST_RETRY_S = 2
MAX_RETRY_S = 600
"""Bounds of the pause before the next try, which is as long as the receiver has failed so far."""
GIVE_UP_AFTER = timedelta(hours=2)
SEND_AGAIN_AFTER_S = 60
"""A delivery under way for longer than any try takes died with its process."""
AT_ONCE = 5
MOST_A_ROUND = 20

FIELD = "webhook_url"


def check_webhook(settings: Settings, url: str) -> None:
    """Check where a submitter wants to be told, as far as that is possible before the host is resolved.

    Raises:
        InvalidRequest: nothing will be sent there; the message says why.
    """
    if settings.webhook_secret is None:
        raise InvalidRequest("This service sends no webhooks: it has no secret to sign them with.", field=FIELD)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidRequest(f"This is not a URL: {error}.", field=FIELD) from None
    if parts.scheme != "https" and not settings.webhook_allow_http:
        raise InvalidRequest("Webhooks are sent over https alone.", field=FIELD)
    if not host or parts.username is not None or parts.password is not None:
        raise InvalidRequest("Name a host, and neither user nor password.", field=FIELD)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return  # a name: checked when it is connected to
    try:
        safe_http.check_address(address, allow_loopback=settings.webhook_allow_loopback)
    except AddressRefused as error:
        raise InvalidRequest(str(error), field=FIELD) from None


def signer(settings: Settings) -> Webhook:
    """Signs deliveries.

    Raises:
        ConfigurationError: there is no secret, or it is none of the specification's.
    """
    expected = "STOKEHOLD_WEBHOOK_SECRET must be whsec_ and then 24 to 64 random bytes in base64."
    if settings.webhook_secret is None:
        raise ConfigurationError(expected)
    try:
        return Webhook(settings.webhook_secret.get_secret_value())
    except (ValueError, EmptyWebhookSecretError) as error:
        raise ConfigurationError(expected) from error


def deliver_due(service: Service) -> None:
    """Make the deliveries that are due, a few at once: one round of the loop."""
    due = cast(
        list[str], service.broker.zrangebyscore(WEBHOOKS, "-inf", service.store.now(), start=0, num=MOST_A_ROUND)
    )
    if due:
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="webhook") as pool:
            list(pool.map(partial(try_to_deliver, service), due))


def try_to_deliver(service: Service, ended: str) -> None:
    """Make one delivery, or leave it for later."""
    postpone(service, ended, SEND_AGAIN_AFTER_S)
    try:
        deliver(service, ended)
    except DeliveryFailed as error:
        logger.info("the webhook of %s is tried again later: %s", ended, error)
    except Exception:
        logger.exception("the webhook of %s raised", ended)


def postpone(service: Service, ended: str, seconds: float) -> None:
    """Leave a delivery for so long; nothing happens if it is over."""
    service.broker.zadd(WEBHOOKS, {ended: service.store.now() + seconds}, xx=True)


def pause_s(since: timedelta) -> float:
    """How long to wait before the next try of a delivery that has been due for a while."""
    return min(MAX_RETRY_S, max(FIRST_RETRY_S, since.total_seconds()))


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


def deliver(
    service: Service,
    ended: str,
    resolve: safe_http.Resolve = safe_http.resolve,
    clock: Callable[[], datetime] = utc_now,
) -> None:
    """Tell the submitter of a job or a batch that it has ended.

    Args:
        ended: id of the job, or of the batch behind ``batch:``.

    Raises:
        DeliveryFailed: not this time; try again later.
    """
    try:
        if service.broker.zscore(WEBHOOKS, ended) is not None:
            notice = notice_of(service, ended)
            attempt(service, notice, resolve, clock())
    except DeliveryFailed:
        postpone(service, ended, pause_s(clock() - notice.ended_at))
        raise
    except (BatchNotFound, JobNotFound):
        logger.warning("%s expired before its webhook was delivered", ended)
    except AddressRefused as error:
        logger.warning("the webhook of %s is not sent: %s", ended, error)
    service.broker.zrem(WEBHOOKS, ended)


@dataclass(frozen=True)
class Notice:
    """What is told, and to whom.

    Attributes:
        id: the same whenever the same end is told.
        kind: ``job.succeeded``, ``batch.completed`` and so on.
        data: the record, without URLs.
    """

    id: str
    url: str
    kind: str
    ended_at: datetime
    data: dict[str, Any]

    @property
    def body(self) -> str:
        """What is sent."""
        message = {"type": self.kind, "timestamp": self.ended_at.isoformat(), "data": self.data}
        return json.dumps(message, separators=(",", ":"))


def attempt(service: Service, notice: Notice, resolve: safe_http.Resolve, now: datetime) -> None:
    """One try; after two hours of them, or when the receiver says that it is gone, none is left to make.

    Raises:
        DeliveryFailed: the receiver did not accept it.
        AddressRefused: nothing may be sent there.
    """
    body, message_id = notice.body, f"msg_{notice.id}"
    headers = {
        "content-type": "application/json",
        "user-agent": "Stokehold",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signer(service.settings).sign(message_id, now, body),
    }
    try:
        status = safe_http.post(
            notice.url,
            body.encode(),
            headers,
            allow_loopback=service.settings.webhook_allow_loopback,
            resolve=resolve,
        )
        if status == HTTPStatus.GONE:
            logger.warning("the receiver of the webhook of %s is gone", notice.id)
        elif not HTTPStatus(200) <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise DeliveryFailed(f"the receiver answered {status}")
    except DeliveryFailed as error:
        logger.warning("the webhook of %s is not delivered: %s", notice.id, error)
        if now - notice.ended_at < GIVE_UP_AFTER:
            raise
        logger.error("the webhook of %s is given up", notice.id)


def notice_of(service: Service, ended: str) -> Notice:
    """What is told of a job or a batch.

    Raises:
        BatchNotFound, JobNotFound: its record has expired.
    """
    if ended.startswith(BATCH):
        return batch_notice(service, service.batches.get(ended.removeprefix(BATCH)))
    return job_notice(service, service.store.get(ended))


def job_notice(service: Service, job: Job) -> Notice:
    """The record of a job without the images' URLs.

    A URL lets anyone in who has it, and may be stale when a late delivery comes; the receiver polls for fresh ones.
    """
    # Without their keys no URL is signed: the light worker may have no credentials for the storage.
    images = tuple(image.model_copy(update={"key": None}) for image in job.result.images)
    unsigned = job.model_copy(update={"result": job.result.model_copy(update={"images": images})})
    data = record_of(service, unsigned).model_dump(mode="json", exclude={"images": {"__all__": {"url"}}})
    return Notice(job.id, job.terms.webhook_url or "", f"job.{job.status}", job.finished_at or job.created_at, data)


def batch_notice(service: Service, batch: Batch) -> Notice:
    """The record of a batch without URLs."""
    data = batch_record_of(service, batch).model_dump(mode="json", exclude={"results_url", "errors_url"})
    ended_at = batch.finished_at or batch.created_at
    notice_id = f"{batch.id}-{batch.generation}"  # a batch that is tried again ends once more
    return Notice(notice_id, batch.terms.webhook_url or "", f"batch.{batch.status}", ended_at, data)
