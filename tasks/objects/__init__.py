"""Objects in storage: their keys, the notes of those that no record names yet, and files that clients send there."""

__all__ = ["client_uploads", "keys", "notes", "storage_config"]
