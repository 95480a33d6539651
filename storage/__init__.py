"""Images and files in S3-compatible storage, and URLs for them. Imports nothing else of this project.

Callers are written for ``Storage``; only the code that puts the service together names a class of S3.
"""

from storage.config import PublicBucket, S3Config
from storage.errors import BucketMissing, ObjectNotFound, StorageError, StorageMisconfigured, StorageNotReachable
from storage.protocol import Storage
from storage.put_process import S3StorageWithPutProcess
from storage.s3 import S3Storage
from storage.stored_object import StoredObject
from storage.streams import FullReads, Readable

__all__ = [
    "BucketMissing",
    "FullReads",
    "ObjectNotFound",
    "PublicBucket",
    "Readable",
    "S3Config",
    "S3Storage",
    "S3StorageWithPutProcess",
    "Storage",
    "StorageError",
    "StorageMisconfigured",
    "StorageNotReachable",
    "StoredObject",
]
