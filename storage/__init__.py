"""Images and files in S3-compatible storage, and URLs for them. Imports nothing else of this project."""

from storage.config import S3Config
from storage.errors import BucketMissing, ObjectNotFound, StorageError, StorageMisconfigured, StorageNotReachable
from storage.s3 import FullReads, Readable, S3Storage, StoredObject

__all__ = [
    "BucketMissing",
    "FullReads",
    "ObjectNotFound",
    "Readable",
    "S3Config",
    "S3Storage",
    "StorageError",
    "StorageMisconfigured",
    "StorageNotReachable",
    "StoredObject",
]
