"""Which of Celery's remote commands a worker obeys: those that tell, and none that acts.

Whoever can write to Valkey can send them. Our health checks need ``ping``, and operators and Flower what tells of
queues and tasks, so remote control stays on. But a worker is ended by signals, a job is canceled in the job store, and
the other commands would change what a worker takes, or run code in it.
"""

from __future__ import annotations

from celery.worker.control import Panel

ALLOWED = frozenset(
    {
        *("ping", "hello", "clock", "conf", "report", "stats"),
        *("active", "active_queues", "query_task", "registered", "reserved", "revoked", "scheduled"),
        *("enable_events", "disable_events", "heartbeat"),
    }
)
"""Celery hides passwords in ``conf``; events tell of a job by its id alone, since a message holds nothing else."""


def refuse_commands_that_act() -> None:
    """Make this worker answer every other command as one that it does not know."""
    for name in Panel.data.keys() - ALLOWED:
        del Panel.data[name]
