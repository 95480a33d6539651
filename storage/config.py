"""Configuration of the buckets and of their URLs."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class PublicBucket:
    """A public bucket. It holds only objects whose keys begin with its prefix.

    Attributes:
        name: of the bucket.
        prefix: beginning of the keys of its objects.
        base_url: base of the objects' URLs: the bucket's own, or a CDN's.
    """

    name: str
    prefix: str
    base_url: str


@dataclass(frozen=True)
class S3Config:
    """The buckets of one S3-compatible service.

    Attributes:
        endpoint: URL of the service; None means AWS.
        region: region to sign for.
        bucket: name of the bucket that only we may read.
        access_key: None means found by boto3 (profile, instance role, ...).
        secret_key: None means found by boto3.
        create_bucket: make a bucket that is missing.
        public_endpoint: the endpoint as clients reach it, where that differs; presigned URLs name it.
        public: bucket of the objects that are public; None if there are none, and every URL is presigned.
        url_ttl_s: seconds that a presigned URL is valid.
    """

    endpoint: str | None
    region: str
    bucket: str
    access_key: str | None
    secret_key: str | None = field(repr=False)
    create_bucket: bool
    url_ttl_s: int
    public: PublicBucket | None = None
    public_endpoint: str | None = None

    @property
    def buckets(self) -> tuple[str, ...]:
        """The names of all buckets."""
        return (self.bucket,) if self.public is None else (self.bucket, self.public.name)

    def bucket_of(self, key: str) -> str:
        """Return the bucket of an object, or of all objects whose keys begin like this."""
        is_public = self.public is not None and key.startswith(self.public.prefix)
        return self.public.name if self.public is not None and is_public else self.bucket

    @property
    def where(self) -> str:
        """The service, for a message."""
        return self.endpoint or f"AWS S3 in {self.region}"
