"""The rules of every history, and violations of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from stack.history.operations import Operation


class Rule(StrEnum):
    """A rule that holds in every history of a correct service."""

    ONE_FOR_A_KEY = "one_for_a_key"
    """Every response to one idempotency key names the same job or batch, and no other one exists for it."""
    REFUSED_IS_NOT_DONE = "refused_is_not_done"
    """A request that was refused with 4xx each time has created nothing."""
    FORWARD = "forward"
    """A job goes from queued to running and back with a higher attempt each time, or to its end."""
    END_IS_FINAL = "end_is_final"
    """Every client sees the same end of a job: status, attempt, images and error never change."""
    NOTHING_VANISHES = "nothing_vanishes"
    """An accepted job or batch is found, unless Valkey was emptied meanwhile."""
    LIST_IS_COMPLETE = "list_is_complete"
    """A complete list has every job that was accepted before."""
    CONFLICT_IS_AN_END = "conflict_is_an_end"
    """A cancel is refused with 409 only where the job has ended."""
    RECORD_IS_COHERENT = "record_is_coherent"
    """A job that succeeded has the images that were asked for and no error, a failed one an error and no images."""
    IMAGE_AS_RECORDED = "image_as_recorded"
    """The bytes behind an image's URL have the SHA-256 and the size of the record, always."""
    OWNER_ALONE = "owner_alone"
    """A client sees only jobs of its own API key."""
    ALL_ENDS = "all_ends"
    """After the faults, every accepted job and batch is seen at its end."""
    ALL_IS_ANSWERED = "all_is_answered"
    """After the faults, no request stays without a good response."""
    BATCH_FORWARD = "batch_forward"
    """A batch goes forward through its statuses, and only a retry leads back to the first."""
    COUNTERS_ADD_UP = "counters_add_up"
    """The counters of a batch sum up to its lines, and the lines to those of its file."""
    ONE_RESULT_A_LINE = "one_result_a_line"
    """Each line has at most one result, and exactly one when its batch is completed."""
    RESULT_IS_FINAL = "result_is_final"
    """The result of a line that succeeded never changes, and is that of its job."""
    ADAPTER_STAYS = "adapter_stays"
    """A registered adapter is listed, with its file's SHA-256, and can be used until it is removed."""
    ADAPTER_GOES = "adapter_goes"
    """A removed adapter is not listed."""
    NAME_IS_UNIQUE = "name_is_unique"
    """Two registrations of one name succeed only with a removal between them."""
    WEBHOOK_IS_GENUINE = "webhook_is_genuine"
    """The signature of a webhook is good."""
    WEBHOOK_TELLS_AN_END = "webhook_tells_an_end"
    """A webhook reports a terminal status."""
    EVERY_END_IS_TOLD = "every_end_is_told"
    """After the faults, each end with a webhook was received or is in the log of deliveries, and every delivery
    that the log calls delivered was received."""
    WEBHOOK_ID_IS_STABLE = "webhook_id_is_stable"
    """One end has one webhook id, however often it is sent, and no other end has the same."""


@dataclass(frozen=True)
class Violation:
    """A rule that a history breaks.

    Attributes:
        subject: the job, batch, adapter or key.
        what: the violation in a sentence.
        operations: numbers of the operations that show it.
    """

    rule: Rule
    subject: str
    what: str
    operations: tuple[int, ...]

    def as_dict(self) -> Mapping[str, object]:
        """Return the violation for JSON."""
        return {
            "rule": self.rule,
            "subject": self.subject,
            "what": self.what,
            "operations": list(self.operations),
        }


def violation(rule: Rule, subject: str, what: str, *shown_by: Operation) -> Violation:
    """A violation that these operations show."""
    return Violation(rule, subject, what, tuple(operation.number for operation in shown_by))
