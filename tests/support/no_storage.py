"""Storage for tests that must not need any."""

from __future__ import annotations

from storage import S3Config, S3Storage, Storage

NO_STORAGE: Storage = S3Storage(
    S3Config(
        endpoint="http://127.0.0.1:1",
        region="us-east-1",
        bucket="bucket",
        access_key="key",
        secret_key="secret",
        create_bucket=False,
        url_ttl_s=60,
    )
)
"""No server listens there."""
