"""Real servers, started once for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stack.folder import StackFolder
from stack.ports import Ports
from stack.seaweedfs import s3_url, seaweedfs_part
from stack.stop_request import StopRequest
from stack.supervisor import supervised
from stack.valkey import valkey_part
from stack.valkey import valkey_url as url_of_valkey
from storage import S3Config, S3Storage
from tasks.service import Service
from tasks.valkey import Valkey, connect
from tests.support.clients_of_storage import share_clients
from tests.support.services import make_service


@pytest.fixture(scope="session", autouse=True)
def shared_clients() -> Iterator[None]:
    """Storage objects of all tests share the clients of boto3."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        share_clients(monkeypatch)
        yield


@pytest.fixture(scope="session")
def reader_nursery() -> Iterator[None]:
    """Workers of these tests need not wait until the process that reads adapters has imported torch."""
    from tests.support.reader_nursery import ReaderNursery
    from workers.adapters import reader

    nursery = ReaderNursery()
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(reader, "launch", nursery.launch)
        yield
    nursery.close()


@pytest.fixture(autouse=True)
def forked_readers(request: pytest.FixtureRequest) -> None:
    """Let the nursery be there for tests that import torch."""
    if request.node.get_closest_marker("torch") is not None:
        request.getfixturevalue("reader_nursery")


@pytest.fixture(scope="session")
def ports() -> Ports:
    """Where the servers of these tests listen."""
    return Ports.free()


@pytest.fixture(scope="session")
def valkey_url(ports: Ports, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Valkey, shared: a test that needs it empty takes ``valkey``."""
    folder, stop = StackFolder(tmp_path_factory.mktemp("valkey")), StopRequest()
    with supervised(folder, stop) as supervisor:
        supervisor.start([valkey_part(folder.data("valkey"), ports.valkey)])
        yield url_of_valkey(ports.valkey)
        stop.urgent = True  # its data is not wanted any more


@pytest.fixture
def valkey(valkey_url: str) -> Iterator[Valkey]:
    """A connection to a Valkey that is empty when the test begins."""
    with connect(valkey_url) as valkey:
        valkey.flushall()
        yield valkey


@pytest.fixture(scope="session")
def s3(ports: Ports, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Config]:
    """A real SeaweedFS, shared; the bucket that this names is not made: a test takes ``bucket`` or ``storage``."""
    folder, stop = StackFolder(tmp_path_factory.mktemp("s3")), StopRequest()
    config = S3Config(
        endpoint=s3_url(ports),
        region="us-east-1",
        bucket="never-made",
        access_key="test-access-key",
        secret_key="test-secret-key",
        create_bucket=True,
        url_ttl_s=60,
    )
    with supervised(folder, stop) as supervisor:
        supervisor.start([seaweedfs_part(folder.data("s3"), ports, "test-access-key", "test-secret-key")])
        yield config
        stop.urgent = True


@pytest.fixture(scope="session")
def shared_bucket(s3: S3Config) -> S3Config:
    """One bucket for all tests: the server takes longer to make and remove one than most tests do."""
    config = replace(s3, bucket="shared")
    S3Storage(config).ensure_buckets()
    return config


@pytest.fixture
def bucket(shared_bucket: S3Config) -> Iterator[S3Config]:
    """A bucket that is empty when the test begins."""
    yield shared_bucket
    storage = S3Storage(shared_bucket)
    for page in storage._pages(""):
        storage._delete_page(page)


@pytest.fixture
def servers(valkey: Valkey, valkey_url: str, bucket: S3Config) -> dict[str, Any]:
    """The settings of a service on an empty Valkey and an empty bucket."""
    return {
        "valkey_url": valkey_url,
        "s3_endpoint": bucket.endpoint,
        "s3_bucket": bucket.bucket,
        "s3_access_key": bucket.access_key,
        "s3_secret_key": bucket.secret_key,
    }


@pytest.fixture
def service(servers: dict[str, Any], tmp_path: Path) -> Service:
    """A service of two base models on these servers. A test file that wants more in it has one of its own."""
    return make_service(tmp_path, **servers)


@pytest.fixture
def storage(bucket: S3Config) -> S3Storage:
    """The test's own bucket, opened."""
    return S3Storage(bucket)
