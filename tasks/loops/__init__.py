"""Loops that housekeeping, planning and delivery run in: guarded, watched, and fair to each record."""
