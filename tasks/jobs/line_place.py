"""The place of a line in the plan of its batch, by which it becomes exactly one job.

stokehold:batch:<id>:cursors:<plan>   hash   by group of the plan: the place of its next line, from its first byte;
                                             `first`: the group before which all are done
stokehold:batch:<id>:jobs             set    ids of its jobs whose results are not in storage yet
stokehold:batch:<id>:ended            list   ids of those of them that have ended
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.identifiers import identifier

BATCHES = "stokehold:batch:"


@dataclass(frozen=True)
class LinePlace:
    """The place of a line.

    Attributes:
        plan: key of the plan in storage. Under another plan of its batch the line becomes no job.
        group: number of its group in the plan.
        begin: first byte in the plan.
        end: the byte behind the last, where the next line of the group begins.
    """

    batch_id: str
    plan: str
    group: int
    begin: int
    end: int

    @property
    def batch(self) -> str:
        return batch_key(self.batch_id)

    @property
    def cursors(self) -> str:
        return cursors_key(self.batch_id, self.plan)

    @property
    def jobs(self) -> str:
        return jobs_key(self.batch_id)

    @property
    def ended(self) -> str:
        return ended_key(self.batch_id)


def batch_key(batch_id: str) -> str:
    """A batch."""
    return BATCHES + identifier(batch_id)


def cursors_key(batch_id: str, plan: str | None) -> str:
    """The places up to which the groups of a plan have become jobs."""
    return f"{batch_key(batch_id)}:cursors:{plan or ''}"


def jobs_key(batch_id: str) -> str:
    """The jobs whose results are not in storage yet."""
    return f"{batch_key(batch_id)}:jobs"


def ended_key(batch_id: str) -> str:
    """Those of them that have ended."""
    return f"{batch_key(batch_id)}:ended"
