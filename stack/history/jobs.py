"""The model of a job, against which its history is checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus

from stack.history.event import Kind, Phase, SeenJob, SeenJobs
from stack.history.operations import Operation, done, may_separate, of_kind
from stack.history.sightings import Sighting, by_id, job_sightings
from stack.history.submissions import (
    Accepted,
    accepted,
    all_ends,
    keyed,
    nothing_vanishes,
    one_for_a_key,
    refused_is_not_done,
)
from stack.history.violation import Rule, Violation, violation
from tasks.jobs.job import Status


def check_jobs(operations: Sequence[Operation]) -> Iterator[Violation]:
    """Return the violations of the rules of jobs."""
    emptyings = tuple(of_kind(operations, Kind.EMPTY_VALKEY))
    submissions = tuple(of_kind(operations, Kind.SUBMIT_JOB))
    sightings = tuple(job_sightings(operations))
    jobs, known = by_id(sightings), accepted(operations, Kind.SUBMIT_JOB)
    ids = keyed(submissions, sightings)
    yield from one_for_a_key(ids, emptyings)
    yield from refused_is_not_done(submissions, ids)
    yield from nothing_vanishes(of_kind(operations, Kind.POLL_JOB, Kind.CANCEL_JOB), known, emptyings)
    yield from list_is_complete(operations, known, emptyings)
    yield from all_ends(known, jobs, operations)
    yield from conflict_is_an_end(operations, jobs)
    yield from owner_alone(known, jobs)
    for seen in jobs.values():
        yield from forward(seen)
        yield from end_is_final(seen)
    yield from record_is_coherent(sightings, images_wanted(submissions))


def rank(job: SeenJob) -> float:
    """Return the rank of a job: queued, running at the first attempt, queued again, running again, ..., its end."""
    if job.status.is_terminal:
        return float("inf")
    return 2 * job.attempt - (job.status is Status.RUNNING)


def forward(seen: Sequence[Sighting[SeenJob]]) -> Iterator[Violation]:
    """Sightings of a job that is further back than it was before.

    Statuses are in one order, so it is enough to compare each with the furthest of those that were surely earlier.
    """
    earlier = sorted(seen, key=lambda sighting: sighting.operation.ended)
    furthest, place = None, 0
    for sighting in sorted(seen, key=lambda sighting: sighting.operation.began):
        while place < len(earlier) and earlier[place].operation.precedes(sighting.operation):
            if furthest is None or rank(earlier[place].seen) > rank(furthest.seen):
                furthest = earlier[place]
            place += 1
        if furthest is not None and rank(sighting.seen) < rank(furthest.seen):
            what = f"{described(furthest.seen)}, and later {described(sighting.seen)}."
            yield violation(Rule.FORWARD, sighting.seen.id, what, furthest.operation, sighting.operation)


def end_is_final(seen: Sequence[Sighting[SeenJob]]) -> Iterator[Violation]:
    """Sightings of another end than the first one."""
    ends = [sighting for sighting in seen if sighting.seen.end is not None]
    for sighting in ends[1:]:
        if sighting.seen.end != ends[0].seen.end:
            what = f"{described(ends[0].seen)} is one end, and {described(sighting.seen)} another one."
            yield violation(Rule.END_IS_FINAL, sighting.seen.id, what, ends[0].operation, sighting.operation)


def described(job: SeenJob) -> str:
    """A job in a few words."""
    images = ", ".join(image.sha256[:8] for image in job.images)
    return f"{job.status} at attempt {job.attempt}" + (f" with {images}" if images else "")


def images_wanted(submissions: Iterable[Operation]) -> Mapping[str, int]:
    """Return how many images each job was asked to make, by its id."""
    return {
        submission.answer.id: submission.request.images
        for submission in submissions
        if isinstance(submission.answer, SeenJob) and submission.request.images is not None
    }


def record_is_coherent(sightings: Iterable[Sighting[SeenJob]], wanted: Mapping[str, int]) -> Iterator[Violation]:
    """Records that contradict themselves or their submission."""
    for sighting in sightings:
        if not is_coherent(sighting.seen, wanted.get(sighting.seen.id)):
            what = f"The job is {described(sighting.seen)}, with {len(sighting.seen.images)} images and the error "
            what += f"{sighting.seen.error}."
            yield violation(Rule.RECORD_IS_COHERENT, sighting.seen.id, what, sighting.operation)


def is_coherent(job: SeenJob, wanted: int | None) -> bool:
    """Return whether a record fits a job of this many images; None means that the number is unknown."""
    if job.status in (Status.RUNNING, Status.SUCCEEDED) and job.attempt < 1:
        return False
    if (job.error is not None) != (job.status is Status.FAILED):
        return False
    if job.status is Status.SUCCEEDED:
        return len(job.images) == wanted if wanted is not None else bool(job.images)
    return not job.images


def list_is_complete(
    operations: Sequence[Operation], known: Mapping[str, Accepted], emptyings: Sequence[Operation]
) -> Iterator[Violation]:
    """Complete lists without a job that was accepted before."""
    for listing in done(operations, Kind.LIST_JOBS):
        if isinstance(listing.answer, SeenJobs) and listing.answer.complete:
            listed = {job.id for job in listing.answer.jobs}
            for found in known.values():
                is_due = found.by.owner == listing.owner and found.by.precedes(listing)
                if is_due and found.id not in listed and not may_separate(emptyings, found.by, listing):
                    what = f"{found.id} was accepted, and then the list of jobs is without it."
                    yield violation(Rule.LIST_IS_COMPLETE, found.id, what, found.by, listing)


def conflict_is_an_end(
    operations: Sequence[Operation], jobs: Mapping[str, Sequence[Sighting[SeenJob]]]
) -> Iterator[Violation]:
    """Cancels that were refused although the job had not ended."""
    for cancel in of_kind(operations, Kind.CANCEL_JOB):
        if cancel.outcome is Phase.FAIL and cancel.status == HTTPStatus.CONFLICT:
            for sighting in jobs.get(cancel.request.target or "", ()):
                if cancel.precedes(sighting.operation) and not sighting.seen.status.is_terminal:
                    what = f"Its cancel was refused, and later the job is {described(sighting.seen)}."
                    yield violation(Rule.CONFLICT_IS_AN_END, sighting.seen.id, what, cancel, sighting.operation)


def owner_alone(known: Mapping[str, Accepted], jobs: Mapping[str, Sequence[Sighting[SeenJob]]]) -> Iterator[Violation]:
    """Sightings by another owner than the one that submitted the job."""
    for job_id, seen in jobs.items():
        found = known.get(job_id)
        for sighting in seen:
            if found is not None and sighting.operation.owner != found.by.owner:
                what = f"{found.by.owner} submitted the job, and {sighting.operation.owner} sees it."
                yield violation(Rule.OWNER_ALONE, job_id, what, found.by, sighting.operation)
