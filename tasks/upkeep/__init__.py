"""Upkeep: brings jobs back, and removes jobs and batches after their retention."""

__all__ = ["each_job", "housekeeping", "retention"]
