"""An adapter of any name in a folder of a folder is drawn as the same file anywhere else."""

from __future__ import annotations

import hashlib
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tasks.jobs.job import Job
from tasks.requests.job import JobRequest
from tasks.service import Service
from tests.support.loras import write_noise
from tests.support.pipelines import drawable
from tests.support.services import make_service
from tests.support.warm_workers import warm_worker
from workers.run.runner import JobRunner

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("default"),  # diffusers, transformers and peft warn of one another
]


@pytest.fixture
def service(servers: dict[str, Any], tmp_path: Path) -> Service:
    service = make_service(tmp_path, **servers)
    write_noise(tmp_path / "loras", 1, 2)
    return service


def submitted(service: Service, ref: str) -> Job:
    return service.submissions.submit(
        JobRequest.model_validate({"prompt": "a dog", "steps": 2, "seed": 7, "adapters": [{"ref": ref}]})
    )


def finished(service: Service, runner: JobRunner, job: Job) -> Job:
    runner(job.id)
    return service.store.get(job.id)


def pixels(service: Service, job: Job) -> bytes:
    (image,) = job.result.images
    return Image.open(BytesIO(service.storage.get(image.key or ""))).tobytes()


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_of_any_name_is_drawn_and_its_checksum_is_listed_then(service: Service, tmp_path: Path) -> None:
    loras = tmp_path / "loras"
    inside = loras / "styles"
    inside.mkdir()
    first, second = loras / "noise1.safetensors", loras / "noise2.safetensors"
    named = Path(shutil.copyfile(first, inside / "Körnig 水.safetensors"))
    shutil.copyfile(first.with_suffix(".toml"), named.with_suffix(".toml"))
    runner = warm_worker(service, drawable).runner
    listed = {one.name: one for one in service.adapter_folders.adapters()}
    assert (listed["kornig-shui"].title, listed["kornig-shui"].sha256) == ("styles/Körnig 水", None)

    plain = finished(service, runner, submitted(service, "noise1"))
    slugged = finished(service, runner, submitted(service, "kornig-shui"))
    queued = submitted(service, "kornig-shui")
    shutil.copyfile(second, named)
    later = submitted(service, "kornig-shui")
    before, replaced = finished(service, runner, queued), finished(service, runner, later)

    assert slugged.result.adapter_files == plain.result.adapter_files == (sha256_of(first),)
    assert before.result.adapter_files == (sha256_of(first),)  # it is in the worker's memory
    assert replaced.result.adapter_files == (sha256_of(second),)
    assert pixels(service, slugged) == pixels(service, plain) != pixels(service, replaced)
    assert {one.name: one.sha256 for one in service.adapter_folders.adapters()}["kornig-shui"] == sha256_of(second)
