"""Adapters on their way to the swap: fetched, cached, read and parsed."""

__all__ = [
    "addressed",
    "cache",
    "disk_cache",
    "hub_download",
    "loader",
    "parser",
    "preload",
    "reader",
    "shapes",
    "shell",
    "unreadable",
]
