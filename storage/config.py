"""Where the images are kept and how they are handed out."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class S3Config:
    """One bucket of one S3-compatible service.

    Attributes:
        endpoint: URL of the service; None means AWS.
        region: region to sign for.
        bucket: name of the bucket.
        access_key: None means boto3's own search (profile, instance role, ...).
        secret_key: None means boto3's own search.
        create_bucket: make the bucket when it is missing.
        public_endpoint: the endpoint as clients reach it, where that differs; presigned URLs name it.
        public_base_url: base URL of a public bucket or CDN; None means presigned URLs.
        url_ttl_s: seconds that a presigned URL is good for.
    """

    endpoint: str | None
    region: str
    bucket: str
    access_key: str | None
    secret_key: str | None = field(repr=False)
    create_bucket: bool
    public_base_url: str | None
    url_ttl_s: int
    public_endpoint: str | None = None

    @property
    def where(self) -> str:
        """The service, for a message."""
        return self.endpoint or f"AWS S3 in {self.region}"
