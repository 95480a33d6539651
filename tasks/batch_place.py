"""Where a line stands in the plan of its batch: what makes it one job, and no second one.

stokehold:batch:<id>:cursors:<generation>  hash   by group of the plan: the place of its next line, from its first
                                                  byte; `first`: the group before which all are done
stokehold:batch:<id>:jobs                  set    ids of its jobs whose results are not in storage yet
stokehold:batch:<id>:ended                 list   ids of those of them that have ended
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.identifiers import identifier


@dataclass(frozen=True)
class LinePlace:
    """The place of a line.

    Attributes:
        group: number of its group in the plan.
        begin: first byte in the plan.
        end: the byte behind the last, where the next line of the group begins.
    """

    batch_id: str
    generation: int
    group: int
    begin: int
    end: int

    @property
    def cursors(self) -> str:
        return cursors_key(self.batch_id, self.generation)

    @property
    def jobs(self) -> str:
        return jobs_key(self.batch_id)

    @property
    def ended(self) -> str:
        return ended_key(self.batch_id)


def cursors_key(batch_id: str, generation: int) -> str:
    """How far the groups of a plan have become jobs."""
    return f"stokehold:batch:{identifier(batch_id)}:cursors:{generation}"


def jobs_key(batch_id: str) -> str:
    """The jobs whose results are not in storage yet."""
    return f"stokehold:batch:{identifier(batch_id)}:jobs"


def ended_key(batch_id: str) -> str:
    """Those of them that have ended."""
    return f"stokehold:batch:{identifier(batch_id)}:ended"
