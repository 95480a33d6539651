"""The boto3 client and its time limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

from storage.config import S3Config
from storage.errors import StorageMisconfigured
from storage.translation import translated

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

PATIENT = Config(connect_timeout=3, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 3})
"""For the work itself, in seconds: at most about a minute until storage counts as unavailable."""

PROMPT = Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 1})
"""For a health check, in seconds: it must answer before its caller gives up."""

COPYING = TransferConfig(multipart_threshold=1 << 30, multipart_chunksize=1 << 30)
"""S3 copies at most 5 GiB in one request; larger objects are copied in parts."""


def connect(config: S3Config, endpoint: str | None, timing: Config) -> S3Client:
    """Return a client of the service at ``endpoint``, or of AWS. Many threads may use it; nothing is connected to yet.

    Raises:
        StorageMisconfigured: the endpoint is not a URL, or there is only half of the credentials.
    """
    # Other services know buckets by path, not by host name, and seldom the newer checksum trailers, which are
    # therefore sent only where S3 demands them.
    options = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path" if endpoint else "auto"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    try:
        with translated(config, config.bucket):
            return boto3.client(
                "s3",
                endpoint_url=endpoint,
                region_name=config.region,
                aws_access_key_id=config.access_key,
                aws_secret_access_key=config.secret_key,
                config=timing.merge(options),
            )
    except ValueError as error:
        raise StorageMisconfigured(
            f"{error}. Set STOKEHOLD_S3_ENDPOINT to a URL such as http://127.0.0.1:8333."
        ) from error
