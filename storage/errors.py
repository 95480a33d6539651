"""Errors of storage, by kind. Messages are for the operator: they name endpoints, buckets and settings.

StorageError               of the request: the same request is refused again, from any machine
├── ObjectNotFound         no object has this key
├── StorageMisconfigured   of the machine: an operator must change a setting, the bucket or its policy
│   └── BucketMissing
└── StorageNotReachable    of the moment: the same call may succeed later
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
    """Nothing answers at the endpoint, or the server there cannot serve us for the moment."""
