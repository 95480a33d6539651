"""What can go wrong with storage.

StorageError
├── ObjectNotFound         no object has this key
├── StorageMisconfigured   an operator must change a setting, the bucket or its policy
│   └── BucketMissing
└── StorageNotReachable    the same call may succeed later
"""

from __future__ import annotations


class StorageError(Exception):
    """Root of the tree: storage refused a request. ``str(error)`` is a sentence that says what to do."""


class ObjectNotFound(StorageError):
    """No object has this key."""


class StorageMisconfigured(StorageError):
    """The bucket is missing or the credentials are not accepted; the message names the setting at fault."""


class BucketMissing(StorageMisconfigured):
    """The service has no such bucket."""


class StorageNotReachable(StorageError):
    """Nobody answers at the endpoint, or the server there fails."""
