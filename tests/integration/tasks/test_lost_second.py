"""A Valkey that comes back without its last second: what it has forgotten, and what must hold nevertheless."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stack.ports import Ports
from tasks.errors import LeaseLost
from tasks.jobs.images import attempt_prefix
from tasks.jobs.job import Job, Status
from tasks.jobs.result import Failure, Result, StoredImage, Timings
from tasks.service import Service
from tests.support.forgetful_valkey import ForgetfulValkey
from tests.support.housekeeping import housekeeping
from tests.support.jobs import SPEC, recorded
from tests.support.services import make_service


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[ForgetfulValkey]:
    forgetful = ForgetfulValkey(tmp_path, Ports.free().valkey)
    yield forgetful
    forgetful.stop()


@pytest.fixture
def service(servers: dict[str, Any], forgetful: ForgetfulValkey, tmp_path: Path) -> Service:
    return make_service(tmp_path, **{**servers, "valkey_url": forgetful.url})


def claimed(service: Service, job: Job, worker: str) -> Job:
    running = service.store.claim(job.id, worker)
    assert running is not None
    return running


def uploaded(service: Service, job: Job, image: bytes) -> StoredImage:
    service.images.note(job.lease)
    stored = service.storage.put(f"{attempt_prefix(job.lease)}0.png", image, content_type="image/png")
    return StoredImage(key=stored.key, width=64, height=64, bytes=stored.bytes, sha256=stored.sha256, seed=1)


@pytest.fixture
def claimed_twice(service: Service, forgetful: ForgetfulValkey) -> tuple[Job, Job]:
    """The same job in the hands of two workers: the server has forgotten the first claim."""
    job = recorded(service.recorder, SPEC)
    forgetful.remember()
    first = claimed(service, job, "first")
    forgetful.forget()
    return first, claimed(service, job, "second")


def test_two_claims_of_one_attempt_share_no_token_and_no_object(claimed_twice: tuple[Job, Job]) -> None:
    first, second = claimed_twice

    assert first.attempt == second.attempt == 1
    assert first.lease.token != second.lease.token
    assert attempt_prefix(first.lease) != attempt_prefix(second.lease)


def test_the_worker_whose_claim_is_forgotten_finds_out_at_each_of_its_steps(
    service: Service, claimed_twice: tuple[Job, Job]
) -> None:
    first, second = claimed_twice

    with pytest.raises(LeaseLost):
        service.store.renew(first.lease)
    with pytest.raises(LeaseLost):
        service.store.succeed(first, Result(images=()), Timings())
    with pytest.raises(LeaseLost):
        service.store.fail(first, Failure(code="failed", message="No."))
    with pytest.raises(LeaseLost):
        service.store.requeue(first)

    service.store.renew(second.lease)


def test_the_images_of_a_job_that_succeeded_are_not_touched_by_the_forgotten_claim(
    service: Service, claimed_twice: tuple[Job, Job]
) -> None:
    first, second = claimed_twice
    image = uploaded(service, second, b"the image")
    service.store.succeed(second, Result(images=(image,)), Timings())

    uploaded(service, first, b"another image")
    with pytest.raises(LeaseLost):
        service.store.succeed(first, Result(images=()), Timings())
    service.images.settle(first.lease)
    housekeeping(service)

    assert service.store.get(second.id).result.images == (image,)
    assert image.key is not None
    assert list(service.storage.list(f"images/{second.id}/")) == [image.key]
    assert service.storage.get(image.key) == b"the image"


def test_a_success_that_is_forgotten_is_drawn_again_beside_the_first_images(
    service: Service, forgetful: ForgetfulValkey
) -> None:
    job = claimed(service, recorded(service.recorder, SPEC), "first")
    image = uploaded(service, job, b"seen by a client")
    forgetful.remember()
    service.store.succeed(job, Result(images=(image,)), Timings())
    forgetful.forget()
    assert service.store.get(job.id).status is Status.RUNNING

    service.store.requeue(service.store.get(job.id))
    again = claimed(service, job, "second")

    assert uploaded(service, again, b"drawn again").key != image.key
    assert image.key is not None
    assert service.storage.get(image.key) == b"seen by a client"


def test_a_note_of_sending_from_before_says_nothing_of_a_job_that_was_queued_again(
    service: Service, forgetful: ForgetfulValkey
) -> None:
    created = recorded(service.recorder, SPEC)
    forgetful.remember()
    service.store.requeue(claimed(service, created, "first"))
    sent_before = service.store.get(created.id)
    forgetful.forget()
    service.store.requeue(claimed(service, created, "second"))

    service.store.mark_sent(sent_before)

    assert service.index.unsent(0, 10) == [created.id]
