"""Batches: files of requests, planned, expanded into jobs, and collected into results."""

__all__ = [
    "advance",
    "batch",
    "control",
    "expansion",
    "forecast",
    "job_list",
    "plan_files",
    "planning",
    "progress",
    "record",
    "results",
    "rounds",
    "store",
    "submission",
]
