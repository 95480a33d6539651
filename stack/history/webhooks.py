"""The model of a webhook."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from stack.history.event import Kind, SeenBatch, SeenJob, SeenWebhook
from stack.history.operations import Operation, done
from stack.history.violation import Rule, Violation, violation


def check_webhooks(operations: Iterable[Operation]) -> Iterator[Violation]:
    """What deliveries say that they may not say. That a job's end is told as it was is checked with the job."""
    told = [
        (operation, operation.answer)
        for operation in done(operations, Kind.WEBHOOK)
        if isinstance(operation.answer, SeenWebhook)
    ]
    for operation, webhook in told:
        if not webhook.genuine:
            yield violation(Rule.WEBHOOK_IS_GENUINE, webhook.id, "The signature is not good.", operation)
        elif not webhook.about.status.is_terminal:
            what = f"A webhook tells that {webhook.about.id} is {webhook.about.status}."
            yield violation(Rule.WEBHOOK_TELLS_AN_END, webhook.about.id, what, operation)
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
