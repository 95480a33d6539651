"""Lanes: how queued jobs reach the workers, and how long they wait."""

__all__ = ["backfill_lane", "interactive_lane", "pace", "queues", "worker_registry"]
