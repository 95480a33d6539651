"""The model of a webhook."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from stack.history.event import Kind, SeenBatch, SeenDeliveries, SeenDelivery, SeenJob, SeenWebhook
from stack.history.operations import Operation, done, may_separate, of_kind
from stack.history.submissions import Accepted, accepted
from stack.history.violation import Rule, Violation, violation
from tasks.webhooks.delivery import DeliveryStatus


def check_webhooks(operations: Sequence[Operation]) -> Iterator[Violation]:
    """Return what deliveries say that they may not say. That a job's end is told as it was is checked with the job."""
    told = list(webhooks_of(operations))
    for operation, webhook in told:
        if not webhook.genuine:
            yield violation(Rule.WEBHOOK_IS_GENUINE, webhook.id, "The signature is not good.", operation)
        elif not webhook.about.status.is_terminal:
            what = f"A webhook tells that {webhook.about.id} is {webhook.about.status}."
            yield violation(Rule.WEBHOOK_TELLS_AN_END, webhook.about.id, what, operation)
    for kind in (Kind.SUBMIT_JOB, Kind.SUBMIT_BATCH):
        yield from every_end_is_told(operations, accepted(operations, kind).values())
    yield from delivered_is_received(operations)
    yield from webhook_id_is_stable([(operation, webhook) for operation, webhook in told if webhook.genuine])


def webhook_id_is_stable(told: Iterable[tuple[Operation, SeenWebhook]]) -> Iterator[Violation]:
    """Webhook ids with two ends, and jobs with two ids. A batch that is tried again has an id for each of its ends."""
    ends: dict[str, tuple[Operation, SeenJob | SeenBatch]] = {}
    ids: dict[str, tuple[Operation, str]] = {}
    for operation, webhook in told:
        first, about = ends.setdefault(webhook.id, (operation, webhook.about))
        if about != webhook.about:
            what = f"The webhook {webhook.id} tells {about} and {webhook.about}."
            yield violation(Rule.WEBHOOK_ID_IS_STABLE, webhook.about.id, what, first, operation)
        if isinstance(webhook.about, SeenJob):
            first, webhook_id = ids.setdefault(webhook.about.id, (operation, webhook.id))
            if webhook_id != webhook.id:
                what = f"The end of {webhook.about.id} is told as {webhook_id} and as {webhook.id}."
                yield violation(Rule.WEBHOOK_ID_IS_STABLE, webhook.about.id, what, first, operation)


def every_end_is_told(operations: Sequence[Operation], known: Iterable[Accepted]) -> Iterator[Violation]:
    """Return what was to be told, and when all is calm was not received and is not in the log of deliveries either."""
    emptyings = tuple(of_kind(operations, Kind.EMPTY_VALKEY))
    received = {answer.about.id for _, answer in webhooks_of(operations)}
    wanted = [found for found in known if found.by.request.webhook and found.id not in received]
    for calm in done(operations, Kind.CALM):
        for log, deliveries in logs_of(operations):
            logged = {delivery.about for delivery in deliveries}
            for found in wanted:
                is_due = calm.precedes(log) and found.by.owner == log.owner and found.id not in logged
                if is_due and not may_separate(emptyings, found.by, log):
                    what = f"The end of {found.id} was to be told; it was not, and is not in the log of deliveries."
                    yield violation(Rule.EVERY_END_IS_TOLD, found.id, what, found.by, log)


def delivered_is_received(operations: Sequence[Operation]) -> Iterator[Violation]:
    """Return what the log of deliveries calls delivered, and no receiver got."""
    received = {answer.id for _, answer in webhooks_of(operations)}
    for log, deliveries in logs_of(operations):
        for delivery in deliveries:
            if delivery.status is DeliveryStatus.DELIVERED and delivery.id not in received:
                what = f"The webhook {delivery.id} is delivered, says the log, and was never received."
                yield violation(Rule.EVERY_END_IS_TOLD, delivery.about, what, log)


def webhooks_of(operations: Iterable[Operation]) -> Iterator[tuple[Operation, SeenWebhook]]:
    """Each delivery that was received."""
    for operation in done(operations, Kind.WEBHOOK):
        if isinstance(operation.answer, SeenWebhook):
            yield operation, operation.answer


def logs_of(operations: Iterable[Operation]) -> Iterator[tuple[Operation, Sequence[SeenDelivery]]]:
    """Each reading of the log of deliveries."""
    for operation in done(operations, Kind.LIST_DELIVERIES):
        if isinstance(operation.answer, SeenDeliveries):
            yield operation, operation.answer.deliveries
