"""The storage that the rest of the service is written for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from storage.stored_object import StoredObject
from storage.streams import Readable


class Storage(Protocol):
    """Objects by key. Many threads may use it at once.

    For another kind of storage, write another class with these methods, and return it from
    ``tasks.objects.storage_config.make_storage``.
    """

    def ensure_buckets(self) -> None:
        """Check at start that every bucket can be used, and make those that are missing where that is allowed.

        Raises:
            StorageMisconfigured: a bucket is missing and may not be made, or the credentials are not accepted.
            StorageNotReachable: it does not answer.
        """

    def check(self) -> None:
        """Check that every bucket can be used, within about three seconds each.

        Raises:
            StorageMisconfigured: a bucket is missing, or the credentials are not accepted.
            StorageNotReachable: it does not answer.
        """

    def put(
        self, key: str, body: bytes, *, content_type: str, metadata: Mapping[str, str] | None = None
    ) -> StoredObject:
        """Store an object. Its content never changes, so clients may cache it for ever.

        Args:
            key: key of the object; one that exists is replaced.
            body: the content; storage compares it with its SHA-256.
            content_type: media type of the object, for browsers.
            metadata: names and values in ASCII that are kept with the object.

        Raises:
            StorageError: the object was not stored.
        """

    def get(self, key: str) -> bytes:
        """Return the content of an object.

        Raises:
            ObjectNotFound: there is none of this key.
            StorageError: it could not be read.
        """

    def get_range(self, key: str, begin: int, end: int) -> bytes:
        """Return the bytes of an object from ``begin`` to before ``end``.

        Raises:
            ObjectNotFound: there is none of this key.
            StorageError: it could not be read.
        """

    def download(self, key: str, path: Path) -> None:
        """Write the content of an object to a file, a part at a time.

        Raises:
            ObjectNotFound: there is none of this key.
            StorageError: it could not be read.
        """

    def upload(self, key: str, path: Path, *, content_type: str) -> None:
        """Store a file as an object, a part at a time.

        Raises:
            StorageError: the object was not stored.
        """

    def upload_stream(self, key: str, stream: Readable, *, content_type: str) -> None:
        """Store the bytes of a stream as an object, a part at a time. If the stream raises, no object is left.

        Raises:
            StorageError: the object was not stored.
        """

    def size(self, key: str) -> int | None:
        """Return the size of an object in bytes; None if there is none.

        Raises:
            StorageError: that cannot be determined.
        """

    def digest(self, key: str) -> StoredObject:
        """Read an object, a part at a time, and return its size and the SHA-256 of its content.

        Raises:
            ObjectNotFound: there is none of this key.
            StorageError: it could not be read.
        """

    def copy(self, source: str, target: str) -> None:
        """Copy an object within storage; nothing passes through this process.

        Raises:
            ObjectNotFound: there is no object of the key ``source``.
            StorageError: it could not be copied; a part of it may have been.
        """

    def upload_url(self, key: str, *, content_type: str, size_bytes: int | None = None) -> str:
        """Return a presigned URL that takes an object by PUT, without a request to a server.

        Args:
            size_bytes: the only size that the object may have; None allows any.

        Raises:
            StorageMisconfigured: there are no credentials to sign with.
        """

    def url(self, key: str) -> str:
        """Return a URL that opens the object in a browser, without a request to a server.

        It is below the public base URL, or presigned afresh.

        Raises:
            StorageMisconfigured: there are no credentials to sign with.
        """

    def list(self, prefix: str) -> Iterator[str]:
        """Return the keys that begin with ``prefix``, in order.

        Raises:
            StorageError: they could not be listed.
        """

    def delete(self, prefix: str) -> int:
        """Remove every object whose key begins with ``prefix``, and return how many there were.

        Raises:
            ValueError: the prefix is empty, which would empty the bucket.
            StorageError: some could not be removed; those before them are gone.
        """

    def remove(self, key: str) -> None:
        """Remove one object, which need not exist, and the parts of unfinished uploads of it.

        Raises:
            StorageError: it could not be removed.
        """
