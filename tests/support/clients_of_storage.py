"""Clients of storage that tests share: boto3 takes 30 ms of CPU to make one, and each storage object has two."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from botocore.config import Config

import storage.s3
from storage import S3Config
from storage.client import connect

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


def share_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let storage objects of the same endpoint, credentials and timing share a client; many threads may use one."""
    clients: dict[tuple[object, ...], S3Client] = {}

    def shared(config: S3Config, endpoint: str | None, timing: Config) -> S3Client:
        key = (endpoint, config.region, config.access_key, config.secret_key, timing)
        if key not in clients:
            clients[key] = connect(config, endpoint, timing)
        return clients[key]

    monkeypatch.setattr(storage.s3, "connect", shared)
