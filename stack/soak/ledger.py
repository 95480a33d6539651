"""The outcome of every job of a soak: nothing may be lost, done twice or left over."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from tasks.batches.results import LineResult
from tasks.errors import JobNotFound
from tasks.jobs.images import manifest_key
from tasks.jobs.job import Job, Status
from tasks.objects.keys import IMAGES, MANIFESTS
from tasks.service import Service

SUCCEEDED = re.compile(r"\[job=(\w{1,64}) attempt=\d{1,9} base_model=[\w.-]{1,64}\] succeeded: ")
CHANGED = "weights of the base have changed"


@dataclass(frozen=True)
class Ledger:
    """The balance of a soak.

    Attributes:
        submitted: jobs that the API has accepted.
        forgotten: those of which Valkey, when it was emptied, lost the record.
        lost: other ones without a record, without an end, or without the images that their record names.
        twice: jobs that workers finished more than once.
        orphans: objects in storage that no record names.
        base_clean: true if no worker found its base changed, and all drew with the same one.
        faults: number of faults by kind.
        failures: number of failed jobs by code.
    """

    submitted: int
    succeeded: int
    failed: int
    canceled: int
    forgotten: int
    lost: int
    twice: int
    orphans: int
    base_clean: bool
    faults: Mapping[str, int]
    failures: Mapping[str, int]

    @property
    def is_clean(self) -> bool:
        """Return whether nothing was lost, done twice or left over."""
        ended = self.succeeded + self.failed + self.canceled + self.forgotten
        return not (self.lost or self.twice or self.orphans) and self.base_clean and ended == self.submitted

    def as_dict(self) -> dict[str, object]:
        """Return the ledger for JSON."""
        return asdict(self)


def take_stock(
    service: Service,
    accepted: Iterable[str],
    logs: Iterable[Path],
    faults: Mapping[str, int],
    forgettable: Set[str] = frozenset(),
) -> Ledger:
    """Compare the records, the storage and the workers' logs after the soak.

    Args:
        accepted: ids of the jobs that the API has accepted.
        faults: number of faults by kind.
        forgettable: jobs that were submitted before Valkey was emptied. The images of those whose records it lost
            stay in storage, and are not counted as orphans.

    Raises:
        ValkeyUnavailable, StorageError: a server is unavailable.
    """
    ids = tuple(accepted)
    jobs = [job for job_id in ids if (job := find(service, job_id)) is not None]
    by_status = Counter(job.status for job in jobs)
    stored = {key for kind in (IMAGES, MANIFESTS) for key in service.storage.list(kind)}
    lines = [line for log in logs for line in log.read_text("utf-8", "replace").splitlines()]
    ends = Counter(found[1] for line in lines if (found := SUCCEEDED.search(line)))
    forgotten = (set(ids) & forgettable) - {job.id for job in jobs}
    is_kept = sum(job.status.is_terminal and keys_of(job) <= stored for job in jobs)
    orphans = tuple(orphans_among(service, stored, may_have_forgotten=bool(forgettable)))
    prints = {job.result.base.fingerprint for job in jobs if job.result.base}
    return Ledger(
        submitted=len(ids),
        succeeded=by_status[Status.SUCCEEDED],
        failed=by_status[Status.FAILED],
        canceled=by_status[Status.CANCELED],
        forgotten=len(forgotten),
        lost=len(ids) - len(forgotten) - is_kept,
        twice=sum(count > 1 for count in ends.values()),
        orphans=len(orphans),
        base_clean=len(prints) <= 1 and not any(CHANGED in line for line in lines),
        faults=dict(faults),
        failures=dict(Counter(job.error.code for job in jobs if job.error)),
    )


def find(service: Service, job_id: str) -> Job | None:
    """The job, if its record is there."""
    try:
        return service.store.get(job_id)
    except JobNotFound:
        return None


def orphans_among(service: Service, stored: Iterable[str], *, may_have_forgotten: bool) -> Iterator[str]:
    """Return objects that no record names, neither of a job, accepted or not, nor of a batch.

    Args:
        may_have_forgotten: jobs without a record may have images.
    """
    of_batches = cache(lambda batch_id: named_by_batch(service, batch_id))
    for key in stored:
        job_id = key.split("/")[1].removesuffix(".json")
        job = find(service, job_id)
        named = keys_of(job) if job is not None else of_batches(job_id.partition("-")[0])
        if key not in named and (job is not None or not may_have_forgotten):
            yield key


def named_by_batch(service: Service, batch_id: str) -> frozenset[str]:
    """The objects of the lines of a batch that have succeeded; none if there is no such batch."""
    named: set[str] = set()
    for batch in service.batches.existing([batch_id]):
        for part in service.batch_progress.parts(batch):
            for line in service.storage.get(part).splitlines():
                named |= keys_of_result(LineResult.model_validate_json(line))
    return frozenset(named)


def keys_of_result(result: LineResult) -> set[str]:
    """The images of a line, and the manifest of the attempt that drew them."""
    images = {image.key for image in result.images if image.key}
    attempts = {key.removeprefix(IMAGES).rpartition("/")[0] for key in images}
    return images | {f"{MANIFESTS}{attempt}.json" for attempt in attempts}


def keys_of(job: Job) -> set[str]:
    """The objects of a job that has succeeded: its images, and its manifest."""
    images = {image.key for image in job.result.images if image.key}
    return images | {manifest_key(job.lease)} if images and job.result.environment else images
