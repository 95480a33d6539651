"""The object storage that the settings name."""

from __future__ import annotations

from storage import PublicBucket, S3Config, S3Storage, S3StorageWithPutProcess, Storage
from tasks.objects.keys import IMAGES
from tasks.settings import Settings


def make_storage(settings: Settings, *, put_process: bool = False) -> Storage:
    """Return the storage of the settings. Nothing is connected to yet.

    Args:
        put_process: put objects by another process, which ends with this one.

    Raises:
        StorageMisconfigured: the endpoint is not a URL, or there is only half of the credentials.
    """
    config = storage_config(settings)
    return S3StorageWithPutProcess(config) if put_process else S3Storage(config)


def storage_config(settings: Settings) -> S3Config:
    """Return the configuration of ``storage`` from the settings."""
    return S3Config(
        endpoint=settings.s3_endpoint,
        public_endpoint=settings.s3_public_endpoint,
        region=settings.s3_region,
        bucket=settings.s3_bucket,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key.get_secret_value() if settings.s3_secret_key else None,
        create_bucket=settings.s3_create_bucket,
        public=public_bucket(settings),
        url_ttl_s=settings.url_ttl_s,
    )


def public_bucket(settings: Settings) -> PublicBucket | None:
    """Return the bucket of the images if they are public; nothing else, such as a manifest, is in it."""
    if settings.public_base_url is None or settings.s3_public_bucket is None:
        return None
    return PublicBucket(name=settings.s3_public_bucket, prefix=IMAGES, base_url=settings.public_base_url)
