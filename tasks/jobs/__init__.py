"""A job: what fixes its images, its life, and the store in Valkey that keeps it."""

__all__ = [
    "hash",
    "idempotency",
    "images",
    "index",
    "job",
    "keyspace",
    "line_place",
    "manifest",
    "reader",
    "recorder",
    "result",
    "store",
]
