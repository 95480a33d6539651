"""The life of an attempt: claimed, renewed, watched, ended; and the health of its worker."""

__all__ = [
    "attempt",
    "backfill",
    "health",
    "heartbeat",
    "runner",
    "running",
    "self_test",
    "settlement",
    "shutdown",
    "stages",
    "watchdog",
    "worker_exit",
]
