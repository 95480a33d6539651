"""Storage and addresses for tests that must not need any."""

from __future__ import annotations

from storage import S3Config, S3Storage, Storage
from tasks.adapters.lookup.addressed import AddressedAdapters
from tasks.adapters.lookup.addressed_files import AddressedFiles
from tasks.adapters.lookup.checksums import Checksums
from tasks.outbound.file_source import FileSources
from tasks.valkey import connect

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

NO_FILES = AddressedFiles(FileSources(hosts=()), (), lambda bucket, key: f"{bucket}/{key}")
NO_CHECKSUMS = Checksums(connect("redis://127.0.0.1:1/0"))
NO_ADDRESSES = AddressedAdapters(NO_FILES, NO_CHECKSUMS)
"""No address is allowed."""
