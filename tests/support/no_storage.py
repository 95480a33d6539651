"""Storage for tests that must not need any."""

from __future__ import annotations

from storage import S3Config, S3Storage

NO_STORAGE = S3Storage(
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
"""Nobody listens there."""
