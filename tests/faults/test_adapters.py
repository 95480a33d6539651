"""Adapters that cannot be used, or that the Hub does not deliver as it should: each fails its job alone."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Iterator, Mapping

import pytest

from stack.broken_adapters import OTHER_ARCHITECTURE, safetensors
from tasks.jobs.job import Job, Status
from tests.faults.conftest import ADAPTER_MAX_BYTES
from tests.support.hub import HubServer
from tests.support.up import ROOT
from tests.support.worker_process import Nursery, WorkerProcess

Submit = Callable[..., Job]
Ended = Callable[[Job], Job]

WHOLE = (ROOT / "demo" / "loras" / "neon.safetensors").read_bytes()
HEADER = struct.unpack("<Q", WHOLE[:8])[0]


def with_header(text: bytes, body: bytes = b"") -> bytes:
    """A safetensors file with this header, whatever it says."""
    return struct.pack("<Q", len(text)) + text + body


def fifty_gigabytes() -> bytes:
    """A small file whose header claims a tensor of 50 GB."""
    return with_header(
        b'{"unet.a.lora_A.weight":{"dtype":"F32","shape":[4,3355443200],"data_offsets":[0,53687091200]}}'
    )


def shape_beyond_its_bytes() -> bytes:
    """A header whose shape needs more than the bytes that it points at."""
    return with_header(b'{"unet.a.lora_A.weight":{"dtype":"F32","shape":[4,8],"data_offsets":[0,4]}}', bytes(4))


BROKEN: Mapping[str, tuple[bytes, str, str]] = {
    "truncated": (WHOLE[: len(WHOLE) // 2], "adapter_load_failed", "is broken"),
    "other-architecture": (safetensors(OTHER_ARCHITECTURE), "adapter_without_effect", "not made for this base model"),
    "pickle": (pickle.dumps({"unet": [1, 2, 3]}), "adapter_load_failed", "is broken"),
    "fifty-gigabytes": (fifty_gigabytes(), "adapter_load_failed", "is broken"),
    "shape-beyond-its-bytes": (shape_beyond_its_bytes(), "adapter_load_failed", "is broken"),
    "header-beyond-the-file": (struct.pack("<Q", 1 << 40) + b"{}", "adapter_load_failed", "is broken"),
    "too-large": (WHOLE + bytes(ADAPTER_MAX_BYTES), "adapter_fetch_failed", "at most 1048576"),
    "altered": (WHOLE, "adapter_fetch_failed", "checksum"),
}
"""By name: the file, the code of the failure, and what its sentence says."""


@pytest.fixture(scope="module")
def worker(nursery: Nursery, parts: object) -> Iterator[WorkerProcess]:
    """One worker for all of them: it must bear every one."""
    worker = nursery.start()
    yield worker
    worker.kill()


@pytest.fixture
def reference(hub: HubServer) -> Callable[[str], str]:
    """Puts one of them on the Hub."""

    def reference(name: str) -> str:
        files = {"lora.safetensors": BROKEN[name][0]}
        hub.add_repository(f"mallory/{name}", files, base_model="stokehold/demo")
        return f"mallory/{name}"

    return reference


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_adapter_fails_its_job_alone_and_leaves_the_base_clean(
    *, worker: WorkerProcess, submit: Submit, ended: Ended, reference: Callable[[str], str], hub: HubServer, name: str
) -> None:
    _, code, words = BROKEN[name]
    before = ended(submit())
    if name == "altered":
        hub.alter_downloads(1)

    failed = ended(submit(adapters=[{"ref": "neon"}, {"ref": reference(name)}]))
    after = ended(submit())

    assert failed.error is not None
    assert failed.error.code == code, failed.error
    assert words in failed.error.message
    assert after.status is Status.SUCCEEDED
    assert [image.sha256 for image in after.result.images] == [image.sha256 for image in before.result.images]
    note = worker.note()
    assert note is not None
    assert note.reloads == 0


def test_a_file_that_is_too_large_is_not_downloaded(
    worker: WorkerProcess, submit: Submit, ended: Ended, reference: Callable[[str], str], hub: HubServer
) -> None:
    ended(submit(adapters=[{"ref": reference("too-large")}]))

    assert hub.count("GET", "mallory/too-large/resolve/") == 0


def test_an_altered_file_is_not_kept(
    worker: WorkerProcess, submit: Submit, ended: Ended, reference: Callable[[str], str], hub: HubServer
) -> None:
    ref = reference("altered")
    hub.alter_downloads(1)

    first, second = ended(submit(adapters=[{"ref": ref}])), ended(submit(adapters=[{"ref": ref}]))

    assert first.status is Status.FAILED
    assert second.status is Status.SUCCEEDED


def test_a_hub_that_hangs_up_is_asked_for_the_rest(
    worker: WorkerProcess, submit: Submit, ended: Ended, hub: HubServer
) -> None:
    hub.add_repository("ada/neon", {"lora.safetensors": WHOLE}, base_model="stokehold/demo")
    hub.cut_downloads(HEADER)

    assert ended(submit(adapters=[{"ref": "ada/neon"}])).status is Status.SUCCEEDED


def test_a_hub_that_trickles_fails_its_job_alone(
    worker: WorkerProcess, submit: Submit, ended: Ended, hub: HubServer
) -> None:
    hub.add_repository("ada/slow", {"lora.safetensors": WHOLE}, base_model="stokehold/demo")
    with hub.trickling(0.05):
        slow, other = submit(adapters=[{"ref": "ada/slow"}]), submit(adapters=[{"ref": "neon"}])

        assert ended(other).status is Status.SUCCEEDED
        failed = ended(slow)

    assert failed.error is not None
    assert failed.error.code == "adapter_fetch_failed"
    assert "Submit the job again later" in failed.error.message
    assert ended(submit(adapters=[{"ref": "ada/slow"}])).status is Status.SUCCEEDED
