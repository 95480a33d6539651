"""Each refusal of storage is of the moment, of the machine, or of the request."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

import storage.s3
from storage import ObjectNotFound, S3Config, S3Storage, StorageError, StorageMisconfigured, StorageNotReachable
from storage.client import PROMPT
from storage.refusals import REFUSALS
from tests.support.broken_storage import refusing_storage

OF_THE_MOMENT = [
    (503, "SlowDown"),
    (503, "ServiceUnavailable"),
    (500, "InternalError"),
    (400, "RequestTimeout"),
    (400, "ExpiredToken"),
    (400, "TokenRefreshRequired"),
    (400, "BadDigest"),
    (400, "IncompleteBody"),
    (403, "RequestTimeTooSkewed"),
    (404, "NoSuchUpload"),
    (409, "OperationAborted"),
    (429, "TooManyRequests"),
    (507, "XMinioStorageFull"),
    (408, None),
    (409, None),
    (429, None),
    (500, None),
    (502, None),
    (503, None),
    (504, None),
]
OF_THE_MACHINE = [
    (403, "AccessDenied"),
    (403, "InvalidAccessKeyId"),
    (403, "SignatureDoesNotMatch"),
    (403, "AccountProblem"),
    (404, "NoSuchBucket"),
    (400, "InvalidToken"),
    (400, "AuthorizationHeaderMalformed"),
    (405, "MethodNotAllowed"),
    (501, "NotImplemented"),
    (401, None),
    (403, None),
]
OF_THE_REQUEST = [(400, "EntityTooLarge"), (400, "InvalidArgument"), (400, "KeyTooLongError"), (400, None)]


@pytest.fixture(autouse=True)
def one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal is of the same kind at boto3's first try as at its third."""
    monkeypatch.setattr(storage.s3, "PATIENT", PROMPT)


def config(endpoint: str) -> S3Config:
    return S3Config(
        endpoint=endpoint,
        region="us-east-1",
        bucket="images",
        access_key="key",
        secret_key="secret",
        create_bucket=False,
        url_ttl_s=60,
    )


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        *((StorageNotReachable, *answer) for answer in OF_THE_MOMENT),
        *((StorageMisconfigured, *answer) for answer in OF_THE_MACHINE),
        *((StorageError, *answer) for answer in OF_THE_REQUEST),
        (ObjectNotFound, 404, "NoSuchKey"),
    ],
)
def test_each_refusal_has_its_kind(kind: type[StorageError], status: int, code: str | None) -> None:
    with refusing_storage(status=status, code=code) as endpoint, pytest.raises(StorageError) as refused:
        S3Storage(config(endpoint)).check()

    assert type(refused.value) is kind or (kind is StorageMisconfigured and isinstance(refused.value, kind))


def test_the_table_knows_every_code_that_is_tried_here_and_has_no_message_without_its_fields() -> None:
    tried = {code for _, code in (*OF_THE_MOMENT, *OF_THE_MACHINE) if code}

    assert tried - REFUSALS.keys() == {"XMinioStorageFull"}  # which its status gives away
    for _, message in REFUSALS.values():
        message.format(where="", bucket="", region="", access_key="", code="")


OPERATIONS: dict[str, Callable[[S3Storage, Path], object]] = {
    "check": lambda storage, _: storage.check(),
    "put": lambda storage, _: storage.put("a", b"x", content_type="text/plain"),
    "get": lambda storage, _: storage.get("a"),
    "get_range": lambda storage, _: storage.get_range("a", 0, 1),
    "digest": lambda storage, _: storage.digest("a"),
    "download": lambda storage, path: storage.download("a", path),
    "upload": lambda storage, _: storage.upload("a", Path(__file__), content_type="text/plain"),
    "upload_stream": lambda storage, _: storage.upload_stream("a", io.BytesIO(b"x"), content_type="text/plain"),
    "copy": lambda storage, _: storage.copy("a", "b"),
    "size": lambda storage, _: storage.size("a"),
    "remove": lambda storage, _: storage.remove("a"),
    "list": lambda storage, _: list(storage.list("a")),
    "delete": lambda storage, _: storage.delete("a"),
}


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [(StorageNotReachable, 429, "TooManyRequests"), (StorageMisconfigured, 403, "AccessDenied")],
)
def test_every_operation_tells_the_kind(
    name: str, kind: type[StorageError], status: int, code: str, tmp_path: Path
) -> None:
    with refusing_storage(status=status, code=code) as endpoint, pytest.raises(kind):
        OPERATIONS[name](S3Storage(config(endpoint)), tmp_path / "file")


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_server_that_hangs_up_is_of_the_moment(name: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]

    with pytest.raises(StorageNotReachable):
        OPERATIONS[name](S3Storage(config(f"http://127.0.0.1:{port}")), tmp_path / "file")
