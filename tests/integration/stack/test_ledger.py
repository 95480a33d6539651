"""The ledger of a soak sees what went wrong."""

from __future__ import annotations

from pathlib import Path

from stack.soak.ledger import Ledger, take_stock
from tasks.jobs.job import Job
from tasks.jobs.keyspace import job_key
from tasks.jobs.result import BaseReceipt, Failure, Result, StoredImage, Timings
from tasks.service import Service
from tests.support.batches import advance_batches, plan_batches, record_batch
from tests.support.jobs import SPEC, recorded

SUCCEEDED = "[job={} attempt=1 base_model=demo] succeeded:"


def claimed(service: Service) -> Job:
    job = service.store.claim(recorded(service.recorder, SPEC).id, "worker")
    assert job is not None
    return job


def succeeded(service: Service, *, fingerprint: str = "a", stored: bool = True) -> Job:
    job = claimed(service)
    key = f"images/{job.id}/1/0.png"
    if stored:
        service.storage.put(key, b"image", content_type="image/png")
    image = StoredImage(key=key, width=64, height=64, bytes=7, sha256="0", seed=1)
    base = BaseReceipt(fingerprint=fingerprint, swaps_since_check=0)
    service.store.succeed(job, Result(images=(image,), base=base), Timings())
    return job


def stock(service: Service, tmp_path: Path, *ids: str, log: str = "") -> Ledger:
    (tmp_path / "log").write_text(log, "utf-8")
    return take_stock(service, ids, [tmp_path / "log"], {"worker_killed": 1})


def test_a_soak_in_which_every_job_ended_once_is_clean(service: Service, tmp_path: Path) -> None:
    done, failed = succeeded(service), claimed(service)
    service.store.fail(failed, Failure(code="adapter_load_failed", message="No."))

    ledger = stock(
        service, tmp_path, done.id, failed.id, log=f"INFO workers.run.runner: {SUCCEEDED.format(done.id)} queued=1"
    )

    assert ledger.is_clean
    assert (ledger.submitted, ledger.succeeded, ledger.failed, ledger.canceled) == (2, 1, 1, 0)
    assert ledger.failures == {"adapter_load_failed": 1}


def test_a_job_without_record_end_or_image_is_lost(service: Service, tmp_path: Path) -> None:
    ledger = stock(service, tmp_path, "forgotten", claimed(service).id, succeeded(service, stored=False).id)

    assert ledger.lost == 3
    assert not ledger.is_clean


def test_a_job_that_an_emptied_valkey_forgot_is_not_lost_and_its_image_no_orphan(
    service: Service, tmp_path: Path
) -> None:
    (tmp_path / "log").touch()
    service.storage.put("images/forgotten/1/0.png", b"image", content_type="image/png")
    kept = succeeded(service)

    ledger = take_stock(service, ["forgotten", kept.id], [tmp_path / "log"], {}, forgettable={"forgotten", kept.id})

    assert (ledger.submitted, ledger.succeeded, ledger.forgotten, ledger.lost, ledger.orphans) == (2, 1, 1, 0, 0)
    assert ledger.is_clean


def test_images_of_the_lines_of_a_batch_are_no_orphans_although_its_jobs_are_forgotten(
    service: Service, tmp_path: Path
) -> None:
    batch = record_batch(service, b'{"custom_id": "a", "prompt": "a circle"}\n')
    plan_batches(service)
    advance_batches(service)
    (job,) = service.backfill.claim("demo", "worker")
    image, manifest = f"images/{job.id}/{job.lease.token}/0.png", f"manifests/{job.id}/{job.lease.token}.json"
    stored = StoredImage(key=image, width=64, height=64, bytes=7, sha256="0", seed=1)
    service.store.succeed(job, Result(images=(stored,)), Timings())
    advance_batches(service)
    service.valkey.delete(job_key(job.id))
    for key in (image, manifest, f"images/{job.id}/another/0.png", f"manifests/{batch.id}-2/another.json"):
        service.storage.put(key, b"image", content_type="image/png")

    assert stock(service, tmp_path).orphans == 2


def test_a_second_end_and_an_image_without_a_job_are_seen(service: Service, tmp_path: Path) -> None:
    job = succeeded(service)
    service.storage.put(f"images/{job.id}/2/0.png", b"image", content_type="image/png")

    ledger = stock(service, tmp_path, job.id, log=f"{SUCCEEDED.format(job.id)} 1\n{SUCCEEDED.format(job.id)} 2")

    assert (ledger.twice, ledger.orphans, ledger.is_clean) == (1, 1, False)


def test_a_base_that_changed_is_seen(service: Service, tmp_path: Path) -> None:
    job = succeeded(service)

    assert not stock(service, tmp_path, job.id, log="3 weights of the base have changed, such as unet.a").base_clean
    assert not stock(service, tmp_path, job.id, succeeded(service, fingerprint="b").id).base_clean
