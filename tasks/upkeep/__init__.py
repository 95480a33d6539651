"""Upkeep: what keeps jobs moving without a client, and removes what has had its time."""

__all__ = ["each_job", "housekeeping", "retention"]
