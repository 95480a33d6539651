"""Histories drawn from the model are clean, and none stays clean when one of its events says something else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stack.history.checker import check
from stack.history.event import Event, Kind, Phase, Request, SeenAdapter, SeenJob, SeenJobs
from tasks.batches.batch import BatchStatus
from tasks.jobs.job import Status
from tests.support.histories import BLUE, RED, Story, batch, line

CALM = 1000
"""When all that happens at random is over."""

Draw = Callable[[st.SearchStrategy[Any]], Any]


@st.composite
def lives(draw: Draw, job: str) -> list[tuple[int, SeenJob]]:
    """What a job is, and from when on: queued and running in turn, then its end."""
    seen = SeenJob(id=job, status=Status.QUEUED, attempt=0, key=f"key of {job}")
    states = [seen]
    for attempt in range(1, draw(st.integers(1, 3)) + 1):
        states.append(seen.model_copy(update={"status": Status.RUNNING, "attempt": attempt}))
        states.append(seen.model_copy(update={"status": Status.QUEUED, "attempt": attempt}))
    if draw(st.booleans()):
        states.pop()
    attempt = states[-1].attempt
    ends: list[dict[str, object]] = [{"status": Status.CANCELED}, {"status": Status.FAILED, "error": "worker_lost"}]
    if states[-1].status is Status.RUNNING:
        ends.append({"status": Status.SUCCEEDED, "images": (RED,)})
    states.append(seen.model_copy(update={**draw(st.sampled_from(ends)), "attempt": attempt}))
    times = sorted(draw(st.lists(st.integers(1, 900), min_size=len(states), max_size=len(states), unique=True)))
    return list(zip(times, states, strict=True))


def at(life: list[tuple[int, SeenJob]], moment: int) -> SeenJob:
    """What a job is at a moment."""
    return [state for begin, state in life if begin <= moment][-1]


@st.composite
def around(draw: Draw, moment: int) -> tuple[float, float]:
    """When an operation begins and ends that takes effect at a moment."""
    return moment - draw(st.integers(1, 50)) - 0.5, moment + draw(st.integers(1, 50)) + 0.5


def live(draw: Draw, story: Story, job: str) -> SeenJob:
    """Let clients submit a job, some of them without an answer, and poll it; its end."""
    life: list[tuple[int, SeenJob]] = draw(lives(job))
    created, end = life[0][0], life[-1][1]
    for moment in [created, *draw(st.lists(st.integers(created, CALM), max_size=3))]:
        began, ended = draw(around(moment))
        if draw(st.booleans()):
            story.submit(began, ended, at(life, moment), key=f"key of {job}")
        else:
            story.submit(began, key=f"key of {job}")
    for moment in draw(st.lists(st.integers(created, CALM), max_size=6)):
        began, ended = draw(around(moment))
        story.poll(began, ended, at(life, moment))
    story.submit(CALM + 100, CALM + 101, end, key=f"key of {job}")
    for _ in range(2):
        story.told(CALM + 100, end, webhook=f"webhook of {job}")
    return end


@st.composite
def histories(draw: Draw) -> list[Event]:
    """Some jobs, a batch and an adapter, and at the end a look at all of them by which nothing can hide."""
    story = Story()
    ends = [live(draw, story, job) for job in ("i", "j")[: draw(st.integers(1, 2))]]
    succeeded = draw(st.integers(0, 3))
    results = [line(number, f"line {number}", RED if number <= succeeded else None) for number in (1, 2, 3)]
    counts = batch(BatchStatus.COMPLETED, lines=3, succeeded=succeeded, failed=3 - succeeded)
    lines = [result.custom_id for result in results]
    story.send(1, 2, batch(BatchStatus.VALIDATING, lines=0), lines=lines)
    for moment in sorted(draw(st.lists(st.integers(3, 900), max_size=3))):
        story.read(moment, moment + 20, batch(BatchStatus.RUNNING, lines=3, waiting=3))
    story.register(1, 2).add(Request(kind=Kind.CALM), CALM + 200, CALM + 200)
    for late in (CALM + 300, CALM + 400):
        story.add(Request(kind=Kind.LIST_JOBS), late, late + 1, SeenJobs(jobs=tuple(ends), complete=True))
        for end in ends:
            story.poll(late, late + 1, end)
        story.read(late, late + 1, counts)
        story.results(late + 10, late + 11, *results)
        story.catalogue(late, late + 1, SeenAdapter(name="n", sha256="red"))
        story.fetch(late, late + 1, RED)
    return story.events


def poll_of(event: Event) -> bool:
    """Return whether an event is the answer to one of the last polls."""
    return event.at > CALM + 400 and isinstance(event.answer, SeenJob)


def begins_poll(event: Event) -> bool:
    """Return whether an event begins one of the last polls."""
    return event.at >= CALM + 300 and event.request is not None and event.request.kind is Kind.POLL_JOB


def with_answer(change: Callable[[Any], object]) -> Callable[[Event], Event]:
    """Change the answer of an event."""
    return lambda event: event.model_copy(update={"answer": change(event.answer)})


def update(**fields: object) -> Callable[[Event], Event]:
    """Change fields of the answer of an event."""
    return with_answer(lambda answer: answer.model_copy(update=fields))


def of_type(name: str) -> Callable[[Event], bool]:
    """Return whether an event is one of the last answers of this type."""
    return lambda event: event.at >= CALM + 100 and event.answer is not None and event.answer.type == name


def another_end(event: Event) -> Event:
    """The same job with another end."""
    canceled = isinstance(event.answer, SeenJob) and event.answer.status is Status.CANCELED
    status, error = (Status.FAILED, "no") if canceled else (Status.CANCELED, None)
    return update(status=status, error=error, images=())(event)


def without(event: Event) -> Event:
    """The same job, not found."""
    return event.model_copy(update={"phase": Phase.FAIL, "answer": None, "status": 404})


MUTATIONS: Mapping[str, tuple[Callable[[Event], bool], Callable[[Event], Event | None]]] = {
    "another id": (poll_of, update(id="another")),
    "another end": (poll_of, another_end),
    "another attempt": (poll_of, with_answer(lambda job: job.model_copy(update={"attempt": job.attempt + 1}))),
    "another image": (poll_of, update(status=Status.SUCCEEDED, attempt=9, images=(BLUE,), error=None)),
    "running again": (poll_of, update(status=Status.RUNNING, attempt=9, images=(), error=None)),
    "queued again": (poll_of, update(status=Status.QUEUED, images=(), error=None)),
    "not found": (poll_of, without),
    "no answer": (poll_of, lambda _: None),
    "a stranger's": (begins_poll, lambda event: event.model_copy(update={"owner": "stranger"})),
    "not in the list": (of_type("jobs"), with_answer(lambda jobs: jobs.model_copy(update={"jobs": jobs.jobs[1:]}))),
    "other bytes": (of_type("image"), with_answer(lambda _: BLUE)),
    "a forged webhook": (of_type("webhook"), update(genuine=False)),
    "another webhook id": (of_type("webhook"), update(id="another")),
    "a line less": (of_type("lines"), with_answer(lambda seen: seen.model_copy(update={"lines": seen.lines[1:]}))),
    "a line twice": (
        of_type("lines"),
        with_answer(lambda seen: seen.model_copy(update={"lines": (*seen.lines, seen.lines[0])})),
    ),
    "a line more": (of_type("batch"), update(lines=4)),
    "a result more": (
        of_type("batch"),
        with_answer(lambda seen: seen.model_copy(update={"succeeded": seen.succeeded + 1})),
    ),
    "a batch at work again": (
        lambda event: event.at > CALM + 400 and of_type("batch")(event),
        update(status=BatchStatus.RUNNING),
    ),
    "another file": (of_type("adapters"), update(adapters=(SeenAdapter(name="n", sha256="blue"),))),
    "no adapter": (of_type("adapters"), update(adapters=())),
}


def mutated(events: list[Event], place: int, change: Callable[[Event], Event | None]) -> list[Event]:
    """The events with one of them changed, or left out."""
    changed = change(events[place])
    return [*events[:place], *([] if changed is None else [changed]), *events[place + 1 :]]


@given(histories())
def test_a_history_of_the_model_is_clean(events: list[Event]) -> None:
    assert check(events) == ()


@given(histories(), st.sampled_from(sorted(MUTATIONS)), st.data())
def test_a_history_of_which_one_event_says_something_else_is_not(
    events: list[Event], name: str, data: st.DataObject
) -> None:
    concerns, change = MUTATIONS[name]
    place = data.draw(st.sampled_from([place for place, event in enumerate(events) if concerns(event)]))

    assert check(mutated(events, place, change))
