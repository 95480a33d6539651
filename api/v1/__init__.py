"""Stokehold's own API, version 1."""

__all__ = [
    "adapter_uploads",
    "adapters",
    "batches",
    "cancel",
    "health",
    "inspect",
    "jobs",
    "models",
    "page",
    "replay",
    "retry",
    "webhooks",
]
