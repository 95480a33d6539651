"""``Storage`` in the buckets of one S3-compatible service."""

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
from storage.protocol import Storage
from storage.stored_object import StoredObject
from storage.streams import FullReads, Readable
from storage.translation import refusal, translated

if TYPE_CHECKING:
    from types_boto3_s3.literals import BucketLocationConstraintType

logger = logging.getLogger(__name__)

READ_BYTES = 1 << 20


class S3Storage(Storage):
    """The key of an object says in which bucket it is (``S3Config.bucket_of``). Nothing is connected to yet.

    Many threads may use it at once, as they may boto3's clients.

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
        for bucket in self._config.buckets:
            try:
                self._check(bucket)
            except BucketMissing:
                if not self._config.create_bucket:
                    raise
                self._create_bucket(bucket)

    def check(self) -> None:
        for bucket in self._config.buckets:
            self._check(bucket)

    def put(
        self, key: str, body: bytes, *, content_type: str, metadata: Mapping[str, str] | None = None
    ) -> StoredObject:
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
        with self._bucket(key) as bucket:
            return self._client.get_object(Bucket=bucket, Key=key)["Body"].read()

    def get_range(self, key: str, begin: int, end: int) -> bytes:
        with self._bucket(key) as bucket:
            answer = self._client.get_object(Bucket=bucket, Key=key, Range=f"bytes={begin}-{end - 1}")
            return answer["Body"].read()

    def download(self, key: str, path: Path) -> None:
        with self._bucket(key) as bucket:
            self._client.download_file(bucket, key, str(path))

    def upload(self, key: str, path: Path, *, content_type: str) -> None:
        with path.open("rb") as file:
            self.upload_stream(key, file, content_type=content_type)

    def upload_stream(self, key: str, stream: Readable, *, content_type: str) -> None:
        with self._bucket(key) as bucket:
            self._client.upload_fileobj(
                cast(IO[bytes], FullReads(stream)), bucket, key, ExtraArgs={"ContentType": content_type}
            )

    def size(self, key: str) -> int | None:
        with self._bucket(key) as bucket:
            listed = self._client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
        return next((item["Size"] for item in listed.get("Contents", ()) if item["Key"] == key), None)

    def digest(self, key: str) -> StoredObject:
        digest, size = hashlib.sha256(), 0
        with self._bucket(key) as bucket:
            for chunk in self._client.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(READ_BYTES):
                digest.update(chunk)
                size += len(chunk)
        return StoredObject(key=key, bytes=size, sha256=digest.hexdigest())

    def copy(self, source: str, target: str) -> None:
        with self._bucket(target) as bucket:
            origin = self._config.bucket_of(source)
            self._client.copy({"Bucket": origin, "Key": source}, bucket, target, Config=COPYING)

    def upload_url(self, key: str, *, content_type: str, size_bytes: int | None = None) -> str:
        size = {} if size_bytes is None else {"ContentLength": size_bytes}
        with self._bucket(key) as bucket:
            return self._signing_client.generate_presigned_url(
                "put_object",
                {"Bucket": bucket, "Key": key, "ContentType": content_type, **size},
                ExpiresIn=self._config.url_ttl_s,
            )

    def url(self, key: str) -> str:
        public = self._config.public
        if public is not None and key.startswith(public.prefix):
            return f"{public.base_url.rstrip('/')}/{quote(key)}"
        with self._bucket(key) as bucket:
            return self._signing_client.generate_presigned_url(
                "get_object", {"Bucket": bucket, "Key": key}, ExpiresIn=self._config.url_ttl_s
            )

    def list(self, prefix: str) -> Iterator[str]:
        for page in self._pages(prefix):
            yield from page

    def delete(self, prefix: str) -> int:
        if not prefix:
            raise ValueError("an empty prefix would remove every object of the bucket")
        return sum(self._delete_page(page) for page in self._pages(prefix))

    def remove(self, key: str) -> None:
        try:
            self._remove_parts(key)
        except StorageMisconfigured as error:  # a separate permission, without which objects can still be removed
            logger.warning("what unfinished uploads have left of %s is not removed: %s", key, error)
        with self._bucket(key) as bucket:
            self._client.delete_object(Bucket=bucket, Key=key)

    @contextmanager
    def _bucket(self, key: str) -> Iterator[str]:
        """The bucket of an object, or of a prefix; in the block the client's errors are translated into ours."""
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
