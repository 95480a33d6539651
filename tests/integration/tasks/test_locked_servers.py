"""The embedded servers refuse processes of this machine without a password."""

from __future__ import annotations

import http.client
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from stack.folder import StackFolder
from stack.local_stack import LocalStack
from stack.parts import Parts
from stack.ports import Ports
from storage import Storage
from tasks.objects.storage_config import make_storage
from tasks.settings import Settings
from tasks.valkey import connect
from tests.support.waiting import patience

KEY = "images/1/0.png"
READS = (
    *("/", "/buckets/stokehold/", "/buckets/stokehold/images/1/0.png", "/dir/status", "/dir/assign", "/vol/status"),
    *("/dir/lookup?volumeId=1", "/dir/lookup?fileId=1,01", "/1,01", "/stokehold/images/1/0.png"),
    "/stokehold?list-type=2",
)
DESTROYS = (
    *(("GET", "/col/delete?collection=stokehold"), ("POST", "/col/delete?collection=stokehold")),
    *(("GET", "/vol/grow?count=1"), ("GET", "/vol/vacuum"), ("PUT", "/buckets/stokehold/evil.txt")),
    *(("POST", "/buckets/stokehold/evil.txt"), ("POST", "/submit"), ("PUT", "/stokehold/evil.txt")),
    *(("DELETE", "/buckets/stokehold?recursive=true"), ("DELETE", "/buckets/stokehold/images/1/0.png")),
    *(("DELETE", "/stokehold/images/1/0.png"), ("DELETE", "/stokehold"), ("POST", "/.tus/buckets/stokehold/evil.txt")),
)
SET_BY_SEAWEEDFS = ".vif"
"""It sets the mode of these by itself; they hold the parameters of a volume, in a folder that no other user enters."""
TUS = {"Tus-Resumable": "1.0.0", "Upload-Length": "0"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """The embedded servers of a stack, with one object in storage."""
    stack = LocalStack(StackFolder(tmp_path_factory.mktemp("stack")), Ports.free(), Settings(_env_file=None))
    parts = Parts(stack.folder)
    parts.start(stack.servers())
    storage = make_storage(Settings.model_validate(stack.overrides))
    storage.ensure_buckets()
    storage.put(KEY, b"a private drawing", content_type="image/png")
    yield stack
    parts.stop(urgent=True)


@pytest.fixture(scope="module")
def storage(stack: LocalStack) -> Storage:
    return make_storage(Settings.model_validate(stack.overrides))


def ask(port: int, method: str, path: str, headers: dict[str, str] | None = None) -> tuple[int, bytes]:
    """The status and the body of an answer; (0, nothing) where HTTP is not spoken."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patience(20))
    try:
        connection.request(method, path, b"evil" if method in ("PUT", "POST") else None, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def test_valkey_serves_no_one_without_its_password(stack: LocalStack) -> None:
    stranger = redis.Redis(port=stack.ports.valkey, retry=Retry(NoBackoff(), retries=0))

    with pytest.raises(redis.AuthenticationError), stranger:
        stranger.keys("*")

    with connect(stack.overrides["valkey_url"]) as valkey:
        assert valkey.ping()


def test_no_port_of_the_storage_reads_anything_for_a_stranger(stack: LocalStack) -> None:
    for name, port in stack.ports.of_seaweedfs.items():
        for path in READS:
            status, body = ask(port, "GET", path)
            assert b"private drawing" not in body, (name, path)
            assert status != 200 or KEY.encode() not in body, (name, path)


def test_no_port_of_the_storage_writes_or_removes_anything_for_a_stranger(stack: LocalStack, storage: Storage) -> None:
    for name, port in stack.ports.of_seaweedfs.items():
        for method, path in DESTROYS:
            status, body = ask(port, method, path, TUS if "tus" in path else None)
            assert status not in (201, 202, 204), (name, method, path, body)

    assert storage.get(KEY) == b"a private drawing"
    assert list(storage.list("")) == [KEY]


def test_what_they_write_is_for_their_user_alone(stack: LocalStack) -> None:
    with connect(stack.overrides["valkey_url"]) as valkey:
        valkey.set("stokehold:job:1", "a private prompt")

    files = [path for path in stack.folder.root.rglob("*") if path.is_file()]

    assert mode_of(stack.folder.root) == 0o700
    assert {path for path in files if mode_of(path) & 0o077 and path.suffix != SET_BY_SEAWEEDFS} == set()


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
