"""Loops that housekeeping, planning and delivery run in: guarded, watched, and fair to each record."""

__all__ = ["loop", "quarantine", "rounds", "turns"]
