"""Put images into an S3-compatible bucket, take them out, and hand out URLs for them."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast
from urllib.parse import quote

from storage.client import COPYING, PATIENT, PROMPT, connect
from storage.config import S3Config
from storage.errors import BucketMissing, StorageMisconfigured
from storage.stored_object import StoredObject
from storage.streams import FullReads, Readable
from storage.translation import refusal, translated

if TYPE_CHECKING:
    from types_boto3_s3.literals import BucketLocationConstraintType

logger = logging.getLogger(__name__)

READ_BYTES = 1 << 20


class S3Storage:
    """Objects by key; the key says in which bucket one lies (``S3Config.bucket_of``). Nothing is connected to yet.

    May be used from many threads at once (boto3's clients may).

    Raises:
        StorageMisconfigured: the endpoint is not a URL, or there is only half of the credentials.
    """

    def __init__(self, config: S3Config) -> None:
        self._config = config
        self._client = connect(config, config.endpoint, PATIENT)
        self._prompt_client = connect(config, config.endpoint, PROMPT)
        public = config.public_endpoint
        self._signing_client = self._client if public is None else connect(config, public, PATIENT)

    def ensure_buckets(self) -> None:
        """See at start that every bucket can be used, and make those that are missing where that is allowed.

        Raises:
            StorageMisconfigured: a bucket is missing and may not be made, or the credentials are not accepted.
            StorageNotReachable: it does not answer.
        """
        for bucket in self._config.buckets:
            try:
                self._check(bucket)
            except BucketMissing:
                if not self._config.create_bucket:
                    raise
                self._create_bucket(bucket)

    def check(self) -> None:
        """See that every bucket can be used, within about three seconds each.

        Raises:
            StorageMisconfigured: a bucket is missing, or the credentials are not accepted.
            StorageNotReachable: it does not answer.
        """
        for bucket in self._config.buckets:
            self._check(bucket)

    def put(
        self, key: str, body: bytes, *, content_type: str, metadata: Mapping[str, str] | None = None
    ) -> StoredObject:
        """Store an object. Its content never changes, so clients may cache it for ever.

        Args:
            key: where; an object that is there already is replaced.
            body: the content; storage is given its sha256 to compare.
            content_type: of the object, for browsers.
            metadata: names and values in ASCII that are kept with the object.

        Raises:
            StorageError: the object was not stored.
        """
        digest = hashlib.sha256(body)
        with self._bucket(key) as bucket:
            self._client.put_object(
                Bucket=bucket,
                Key=key,
                Body=body,
                ContentType=content_type,
                CacheControl="public, max-age=31536000, immutable",
                ChecksumSHA256=base64.b64encode(digest.digest()).decode(),
                Metadata=metadata or {},
            )
        return StoredObject(key=key, bytes=len(body), sha256=digest.hexdigest())

    def get(self, key: str) -> bytes:
        """The content of an object.

        Raises:
            ObjectNotFound: there is none of this key.
            StorageError: it could not be read.
        """
        with self._bucket(key) as bucket:
            return self._client.get_object(Bucket=bucket, Key=key)["Body"].read()

    def get_range(self, key: str, begin: int, end: int) -> bytes:
        """The bytes of an object from ``begin`` to before ``end``.

        Raises:
            ObjectNotFound: there is none of this key.
            StorageError: it could not be read.
        """
        with self._bucket(key) as bucket:
            answer = self._client.get_object(Bucket=bucket, Key=key, Range=f"bytes={begin}-{end - 1}")
            return answer["Body"].read()

    def download(self, key: str, path: Path) -> None:
        """Write the content of an object to a file, a part at a time.

        Raises:
            ObjectNotFound: there is none of this key.
            StorageError: it could not be read.
        """
        with self._bucket(key) as bucket:
            self._client.download_file(bucket, key, str(path))

    def upload(self, key: str, path: Path, *, content_type: str) -> None:
        """Store a file as an object, a part at a time.

        Raises:
            StorageError: the object was not stored.
        """
        with path.open("rb") as file:
            self.upload_stream(key, file, content_type=content_type)

    def upload_stream(self, key: str, stream: Readable, *, content_type: str) -> None:
        """Store what a stream gives as an object, a part at a time. What the stream raises leaves no object behind.

        Raises:
            StorageError: the object was not stored.
        """
        with self._bucket(key) as bucket:
            self._client.upload_fileobj(
                cast(IO[bytes], FullReads(stream)), bucket, key, ExtraArgs={"ContentType": content_type}
            )

    def size(self, key: str) -> int | None:
        """Size of an object in bytes; None if there is none.

        Raises:
            StorageError: that cannot be determined.
        """
        with self._bucket(key) as bucket:
            listed = self._client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
        return next((item["Size"] for item in listed.get("Contents", ()) if item["Key"] == key), None)

    def digest(self, key: str) -> StoredObject:
        """Read an object to its end, a part at a time, and say what it is: its size and the SHA-256 of its content.

        Raises:
            ObjectNotFound: there is none of this key.
            StorageError: it could not be read.
        """
        digest, size = hashlib.sha256(), 0
        with self._bucket(key) as bucket:
            for chunk in self._client.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(READ_BYTES):
                digest.update(chunk)
                size += len(chunk)
        return StoredObject(key=key, bytes=size, sha256=digest.hexdigest())

    def copy(self, source: str, target: str) -> None:
        """Copy an object. Storage does it: nothing passes through this process.

        Raises:
            ObjectNotFound: there is no object of the key ``source``.
            StorageError: it could not be copied; a part of it may have been.
        """
        with self._bucket(target) as bucket:
            origin = self._config.bucket_of(source)
            self._client.copy({"Bucket": origin, "Key": source}, bucket, target, Config=COPYING)

    def upload_url(self, key: str, *, content_type: str, size_bytes: int | None = None) -> str:
        """A presigned URL that takes an object by PUT. Asks no server.

        Args:
            size_bytes: the one size that the object may have; None: any.

        Raises:
            StorageMisconfigured: there are no credentials to sign with.
        """
        size = {} if size_bytes is None else {"ContentLength": size_bytes}
        with self._bucket(key) as bucket:
            return self._signing_client.generate_presigned_url(
                "put_object",
                {"Bucket": bucket, "Key": key, "ContentType": content_type, **size},
                ExpiresIn=self._config.url_ttl_s,
            )

    def url(self, key: str) -> str:
        """A URL that opens the object in a browser: below the public base URL, or presigned afresh. Asks no server.

        Raises:
            StorageMisconfigured: there are no credentials to sign with.
        """
        public = self._config.public
        if public is not None and key.startswith(public.prefix):
            return f"{public.base_url.rstrip('/')}/{quote(key)}"
        with self._bucket(key) as bucket:
            return self._signing_client.generate_presigned_url(
                "get_object", {"Bucket": bucket, "Key": key}, ExpiresIn=self._config.url_ttl_s
            )

    def list(self, prefix: str) -> Iterator[str]:
        """The keys that begin with ``prefix``, in order.

        Raises:
            StorageError: they could not be listed.
        """
        for page in self._pages(prefix):
            yield from page

    def delete(self, prefix: str) -> int:
        """Remove every object whose key begins with ``prefix``; the number removed.

        Raises:
            ValueError: the prefix is empty, which would empty the bucket.
            StorageError: some could not be removed; those before them are gone.
        """
        if not prefix:
            raise ValueError("an empty prefix would remove every object of the bucket")
        return sum(self._delete_page(page) for page in self._pages(prefix))

    def remove(self, key: str) -> None:
        """Remove one object, and what unfinished uploads in parts have left of it; it need not exist.

        Raises:
            StorageError: it could not be removed.
        """
        try:
            self._remove_parts(key)
        except StorageMisconfigured as error:  # a right of its own, without which objects can be removed all the same
            logger.warning("what unfinished uploads have left of %s is not removed: %s", key, error)
        with self._bucket(key) as bucket:
            self._client.delete_object(Bucket=bucket, Key=key)

    @contextmanager
    def _bucket(self, key: str) -> Iterator[str]:
        """The bucket of an object, or of a prefix; in the block the client's errors become ours."""
        bucket = self._config.bucket_of(key)
        with translated(self._config, bucket):
            yield bucket

    def _check(self, bucket: str) -> None:
        """List one object instead of asking for the bucket's head: a head's refusal has no body and so no reason."""
        with translated(self._config, bucket):
            self._prompt_client.list_objects_v2(Bucket=bucket, MaxKeys=1)

    def _create_bucket(self, bucket: str) -> None:
        with translated(self._config, bucket):
            try:
                if self._config.region == "us-east-1":  # the one region that S3 does not take as a constraint
                    self._client.create_bucket(Bucket=bucket)
                else:
                    region = cast("BucketLocationConstraintType", self._config.region)
                    self._client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": region})
            except self._client.exceptions.BucketAlreadyOwnedByYou:
                return  # another process of ours was faster

    def _remove_parts(self, key: str) -> None:
        with self._bucket(key) as bucket:
            uploads = self._client.list_multipart_uploads(Bucket=bucket, Prefix=key).get("Uploads", ())
            for upload in uploads:
                if upload["Key"] == key:
                    self._client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload["UploadId"])

    def _pages(self, prefix: str) -> Iterator[tuple[str, ...]]:
        """Keys by the page, which S3 makes 1000 keys at most: as many as one deletion takes."""
        paginator = self._client.get_paginator("list_objects_v2")
        with self._bucket(prefix) as bucket:
            for page in paginator.paginate(Bucket=bucket, Prefix=prefix):
                yield tuple(item["Key"] for item in page.get("Contents", ()))

    def _delete_page(self, keys: tuple[str, ...]) -> int:
        if not keys:
            return 0
        with self._bucket(keys[0]) as bucket:
            answer = self._client.delete_objects(
                Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True}
            )
        if problems := answer.get("Errors"):
            first = problems[0]
            detail = f"{len(problems)} objects were not removed; the first is {first['Key']}: {first['Message']}"
            raise refusal(first.get("Code", ""), None, self._config, bucket, detail)
        return len(keys)
