"""Objects put by a process of their own."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace

import psutil
import pytest

from stack.ports import LOOPBACK
from storage import S3Config, S3Storage, StorageError, StorageNotReachable
from storage.put_process import S3StorageWithPutProcess
from tests.support.processes import seen_of
from tests.support.up import ROOT
from tests.support.waiting import patience

PARENT = """
import json, sys
from storage import S3Config
from storage.put_process import S3StorageWithPutProcess

if __name__ == "__main__":
    storage = S3StorageWithPutProcess(S3Config(**json.loads(sys.argv[1])))
    print("ready", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def putting(bucket: S3Config) -> Iterator[S3StorageWithPutProcess]:
    storage = S3StorageWithPutProcess(bucket)
    yield storage
    storage._process.shutdown()


def put_process(parent: int) -> psutil.Process:
    """The process that does it for another."""
    children = seen_of(psutil.Process(parent).children(), lambda child: (child, " ".join(child.cmdline())))
    return next(child for child, command in children if "spawn_main" in command)


def test_what_it_puts_can_be_got(putting: S3StorageWithPutProcess) -> None:
    stored = putting.put("a.png", b"png", content_type="image/png", metadata={"job": "j1"})

    assert putting.get("a.png") == b"png"
    assert (stored.bytes, stored.sha256) == (3, hashlib.sha256(b"png").hexdigest())


def test_a_refusal_is_the_error_that_it_would_be_here(putting: S3StorageWithPutProcess, storage: S3Storage) -> None:
    with pytest.raises(StorageError) as here:
        storage.put("k" * 2000, b"", content_type="text/plain")
    with pytest.raises(StorageError) as there:
        putting.put("k" * 2000, b"", content_type="text/plain")

    assert (type(there.value), str(there.value)) == (type(here.value), str(here.value))


def test_storage_that_is_away_is_said_to_be(bucket: S3Config) -> None:
    storage = S3StorageWithPutProcess(replace(bucket, endpoint=f"http://{LOOPBACK}:1"))

    with pytest.raises(StorageNotReachable, match="Start it, or set STOKEHOLD_S3_ENDPOINT"):
        storage.put("a", b"", content_type="text/plain")
    storage._process.shutdown()


def test_a_process_that_is_killed_is_replaced(putting: S3StorageWithPutProcess) -> None:
    put_process(psutil.Process().pid).kill()

    with pytest.raises(StorageNotReachable, match="has ended"):
        putting.put("a", b"first", content_type="text/plain")
    putting.put("a", b"second", content_type="text/plain")

    assert putting.get("a") == b"second"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_it_ends_with_its_parent_and_not_sooner(bucket: S3Config, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, json.dumps(asdict(bucket))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    ) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        child = put_process(parent.pid)

        child.send_signal(signal.SIGTERM)
        child.send_signal(signal.SIGINT)
        with pytest.raises(psutil.TimeoutExpired):
            child.wait(0.3)
        parent.send_signal(number)

        child.wait(patience(10))
