"""The whole service on real processes, without a worker: each test starts the workers that it will break."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi

from stack.folder import StackFolder
from stack.parts import Parts
from stack.ports import Ports
from stack.seaweedfs import s3_url, seaweedfs_part
from stack.services import api_part, api_url, loops_part
from stack.valkey import valkey_part, valkey_url
from tasks.adapters.lookup.addressed import AddressedAdapters
from tasks.adapters.lookup.hub import AdapterHub
from tasks.adapters.lookup.resolver import AdapterResolver
from tasks.adapters.lookup.uploaded import UploadedAdapters
from tasks.adapters.passport.facts import FactsCache
from tasks.api_client import ApiClient
from tasks.celery import Application
from tasks.jobs.images import manifest_key
from tasks.jobs.job import Job, Lane, Status
from tasks.jobs.keyspace import UNSETTLED_IMAGES
from tasks.loops.rounds import LOOPS
from tasks.objects.keys import IMAGES, MANIFESTS
from tasks.requests.job import JobRequest
from tasks.service import Service
from tasks.settings import PREFIX, Settings
from tests.support.hub import HubServer
from tests.support.jobs import submitted_to
from tests.support.unjudged import Unjudged
from tests.support.up import ROOT
from tests.support.waiting import wait_until
from tests.support.worker_process import Nursery, WorkerProcess

KEY, SECRET = "test-access-key", "test-secret-key"
LEASE_S = 3.0
STORAGE_WAIT_S = 6.0
ADAPTER_MAX_BYTES = 1 << 20
ADAPTER_GRACE_S = 3.0
ADAPTER_READ_S = 6.0


@pytest.fixture(scope="session")
def ports() -> Ports:
    return Ports.free()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="session")
def values(ports: Ports) -> Mapping[str, Any]:
    """The settings of every process here: short periods, so that a fault is over soon."""
    return {
        "valkey_url": valkey_url(ports.valkey),
        "s3_endpoint": s3_url(ports),
        "s3_access_key": KEY,
        "s3_secret_key": SECRET,
        "models_file": ROOT / "models.toml",
        "adapter_folders": ROOT / "demo" / "loras",
        "lease_s": LEASE_S,
        "housekeeping_s": 0.5,
        "storage_wait_s": STORAGE_WAIT_S,
        "adapter_max_bytes": ADAPTER_MAX_BYTES,
        "adapter_grace_s": ADAPTER_GRACE_S,
        "adapter_read_s": ADAPTER_READ_S,
        "check_every_swaps": 1,
        "device": "cpu",
    }


@pytest.fixture(scope="session")
def hub() -> Iterator[HubServer]:
    with HubServer() as hub:
        yield hub


@pytest.fixture(scope="session")
def environment(values: Mapping[str, Any], folder: Path, hub: HubServer) -> Mapping[str, str]:
    """The same for a process that reads its environment."""
    settings = {f"{PREFIX}{name.upper()}": str(value) for name, value in values.items()}
    hub_client = {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "hub"), "HF_HUB_DISABLE_TELEMETRY": "1"}
    return {**settings, **hub_client, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="session")
def service(values: Mapping[str, Any], hub: HubServer) -> Service:
    """The service as this process sees it, with the Hub of these tests; bad adapters get as far as the workers."""
    given = {**values, "adapter_folders": str(values["adapter_folders"])}
    service = Application(Settings.model_validate(given)).service
    adapter_hub = AdapterHub(api=HfApi(endpoint=hub.url, token=False))
    passports = Unjudged(service.base_models, service.shapes, FactsCache(service.valkey), max_bytes=ADAPTER_MAX_BYTES)
    uploads = UploadedAdapters(service.storage)
    find_entry = service.catalogue.find_file
    addressed = AddressedAdapters(service.addressed_files, service.checksums)
    resolver = AdapterResolver(
        service.adapter_folders, adapter_hub, find_entry, uploads, passports, ttl_s=0, addressed=addressed
    )
    return replace(service, resolver=resolver)


@pytest.fixture(scope="session")
def nursery(folder: Path, environment: Mapping[str, str], service: Service) -> Iterator[Nursery]:
    nursery = Nursery(folder, environment, service.workers)
    yield nursery
    nursery.close()


@pytest.fixture(scope="session")
def parts(nursery: Nursery, folder: Path, ports: Ports, environment: Mapping[str, str]) -> Iterator[Parts]:
    """Valkey, storage, the light worker and the API, running."""
    stack = StackFolder(folder / "stack")
    parts = Parts(stack)
    try:
        parts.start(
            [valkey_part(stack.data("valkey"), ports.valkey), seaweedfs_part(stack.data("s3"), ports, KEY, SECRET)]
        )
        parts.start(
            [
                *(loops_part(process, valkey_url(ports.valkey), environment) for process in LOOPS),
                api_part(ports.api, environment),
            ]
        )
        yield parts
    finally:
        parts.stop(urgent=True)


@pytest.fixture
def client(parts: Parts, ports: Ports) -> Iterator[ApiClient]:
    with ApiClient(api_url(ports.api), None) as client:
        yield client


@pytest.fixture
def start(parts: Parts, nursery: Nursery) -> Iterator[Callable[..., WorkerProcess]]:
    """Starts a worker with some gates closed. All are killed when the test is over."""
    yield nursery.start
    nursery.kill_all()


@pytest.fixture
def submit(parts: Parts, service: Service) -> Callable[..., Job]:
    """Submits a small job."""

    def submit(lane: Lane = Lane.INTERACTIVE, **fields: Any) -> Job:
        small = {"prompt": "a red circle", "width": 32, "height": 32, "steps": 2, "seed": 7}
        return submitted_to(service, lane, JobRequest.model_validate({**small, **fields}))

    return submit


@pytest.fixture
def ended(service: Service) -> Callable[[Job], Job]:
    """The job once it has ended and nothing is left to be cleaned up."""

    def ended(job: Job) -> Job:
        wait_until(lambda: service.store.get(job.id).status.is_terminal, timeout_s=120)
        wait_until(lambda: not uploads_of(service, job), timeout_s=30)
        return service.store.get(job.id)

    return ended


def uploads_of(service: Service, job: Job) -> list[Any]:
    """Attempts of the job whose uploads are not settled."""
    members: Any = service.valkey.smembers(UNSETTLED_IMAGES)
    return [member for member in members if member.startswith(job.id)]


def images_of(service: Service, job: Job) -> list[str]:
    """Return the stored objects of a job."""
    return [key for kind in (IMAGES, MANIFESTS) for key in service.storage.list(f"{kind}{job.id}/")]


def assert_drawn_once(service: Service, job: Job) -> None:
    """Storage holds what the record says, and nothing else."""
    record = service.store.get(job.id)
    assert record.status is Status.SUCCEEDED, record.error
    images = [image.key for image in record.result.images]
    assert images_of(service, job) == [*images, manifest_key(record.lease)]
