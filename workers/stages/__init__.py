"""The stages of a job: prepare, draw, publish; and compare, for a replay."""

__all__ = ["compare", "draw", "prepare", "publish", "stopwatch"]
