"""Adapters whose file does something to the process that reads it: each fails its own job, once."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator

import psutil
import pytest
from safetensors.numpy import load_file, save

from tasks.jobs.job import Job, Status
from tasks.service import Service
from tests.support.gates import MISBEHAVIOUR
from tests.support.hub import HubServer
from tests.support.processes import seen_of
from tests.support.up import ROOT
from tests.support.waiting import wait_until
from tests.support.worker_process import Nursery, WorkerProcess
from workers.adapters.sandbox import landlock_version
from workers.adapters.unreadable import UNREADABLE

pytestmark = pytest.mark.torch

Submit = Callable[..., Job]
Ended = Callable[[Job], Job]
Reference = Callable[[str], str]

NEON = ROOT / "demo" / "loras" / "neon.safetensors"
ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not keep this limit")
HAS_LANDLOCK = pytest.mark.skipif(
    sys.platform != "linux" or not landlock_version(ctypes.CDLL(None)), reason="this kernel has no Landlock"
)


@pytest.fixture(scope="module")
def worker(nursery: Nursery, parts: object) -> Iterator[WorkerProcess]:
    """One worker for all of them: it must bear every one."""
    worker = nursery.start()
    yield worker
    worker.kill()


@pytest.fixture
def reference(hub: HubServer) -> Reference:
    """Puts a file on the Hub that does this to its reader."""

    def reference(misbehaviour: str) -> str:
        content = save(load_file(NEON), metadata={MISBEHAVIOUR: misbehaviour, "made by": os.urandom(8).hex()})
        name = f"mallory/{misbehaviour}"
        hub.add_repository(name, {"lora.safetensors": content}, base_model="stokehold/demo")
        return name

    return reference


def children_of(worker: WorkerProcess) -> list[int]:
    """The processes that read files for it."""
    below = psutil.Process(worker.pid).children(recursive=True)
    return [pid for pid, parent in seen_of(below, lambda one: (one.pid, one.ppid())) if parent != worker.pid]


@pytest.mark.parametrize(
    ("misbehaviour", "words"),
    [
        ("segfault", "ended the process that read it"),
        pytest.param("take_memory", "took more memory than a file of its size may take", marks=ON_LINUX),
        ("hold_interpreter", "did not end in time"),
    ],
)
def test_a_file_that_harms_its_reader_fails_its_job_and_is_never_read_again(
    *,
    worker: WorkerProcess,
    submit: Submit,
    ended: Ended,
    reference: Reference,
    misbehaviour: str,
    words: str,
) -> None:
    ref = reference(misbehaviour)

    harmful = submit(adapters=[{"ref": ref}])
    beside = ended(submit(adapters=[{"ref": "neon"}]))
    first = ended(harmful)
    second = ended(submit(adapters=[{"ref": ref}]))

    assert beside.status is Status.SUCCEEDED
    assert first.error is not None
    assert (first.error.code, first.attempt) == ("adapter_load_failed", 1)
    assert first.error.message.startswith(f"Reading the file of adapter {ref!r} {words}. Export it again")
    assert second.error == first.error
    assert worker.log.count(f"{words}; it is not read again by this version") == 1
    assert ended(submit(adapters=[{"ref": "neon"}])).status is Status.SUCCEEDED


@HAS_LANDLOCK
def test_a_reader_may_open_no_other_file(
    worker: WorkerProcess, submit: Submit, ended: Ended, reference: Reference
) -> None:
    job = ended(submit(adapters=[{"ref": reference("open_other_file")}]))

    assert job.error is not None
    assert job.error.code == "adapter_load_failed"
    assert "Permission denied" in job.error.message


def test_a_canceled_job_ends_the_reading_of_its_file(
    worker: WorkerProcess, submit: Submit, ended: Ended, reference: Reference, service: Service
) -> None:
    noted = service.valkey.zcard(UNREADABLE)
    job = submit(adapters=[{"ref": reference("hold_interpreter")}])
    wait_until(lambda: bool(children_of(worker)))

    service.store.cancel(job.id)

    wait_until(lambda: not children_of(worker))
    assert ended(job).status is Status.CANCELED
    assert service.valkey.zcard(UNREADABLE) == noted
    assert ended(submit(adapters=[{"ref": "neon"}])).status is Status.SUCCEEDED


def test_a_worker_does_not_load_ahead_what_harmed_a_reader(
    *,
    worker: WorkerProcess,
    submit: Submit,
    ended: Ended,
    reference: Reference,
    nursery: Nursery,
) -> None:
    ref = reference("segfault")
    failed = ended(submit(adapters=[{"ref": ref}]))
    failure, sha256 = failed.error, failed.spec.adapters[0].adapter.sha256
    assert failure is not None
    assert sha256 is not None

    other = nursery.start()

    wait_until(lambda: f"adapter {ref} is not loaded ahead: {failure.message}" in other.log)
    assert sha256 not in other.log
    other.kill()


def test_a_worker_whose_reader_ends_starts_another(
    worker: WorkerProcess, submit: Submit, ended: Ended, hub: HubServer
) -> None:
    hub.add_repository("ada/late", {"lora.safetensors": save(load_file(NEON))}, base_model="stokehold/demo")
    children = psutil.Process(worker.pid).children()
    commands = seen_of(children, lambda one: (one.pid, one.cmdline()))
    (server,) = (pid for pid, command in commands if "tests.support.nursery" in command)
    os.kill(server, signal.SIGKILL)

    job = ended(submit(adapters=[{"ref": "ada/late"}]))

    assert (job.status, job.attempt) == (Status.SUCCEEDED, 1)
