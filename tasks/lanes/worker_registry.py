"""The workers alive: each notes itself every few seconds, and is forgotten when it stops doing so.

stokehold:workers:<slug>   set     names of workers of a base model
stokehold:worker:<name>    string  the worker's note about itself; expires
"""

from __future__ import annotations

from typing import cast

from pydantic import Field

from tasks.fields import Stored, StoredRecord, read_all
from tasks.jobs.job import Job
from tasks.valkey import Valkey

NOTE = "stokehold:worker:"
UNHEALTHY_SHOWN_MS = 600_000
"""Milliseconds for which a worker is shown that has left because it is unhealthy."""


class MergedAdapter(Stored):
    """An adapter that is merged into a worker's base model."""

    ref: str
    scale: float


class WorkerMemory(Stored):
    """Bytes that a worker keeps in memory."""

    weights: int = Field(description="the base model, on the device")
    pristine: int = Field(
        description="pristine copies: of the attention layers, and of weights that some adapter has touched"
    )
    adapters: int = Field(description="parsed adapters, in host memory")


class WorkerNote(StoredRecord):
    """The note of a worker about itself."""

    name: str
    base_model: str = Field(description="slug")
    device: str
    memory: WorkerMemory
    reloads: int = Field(0, description="how often the base was found changed and was loaded again")
    merged: tuple[MergedAdapter, ...] = ()
    unhealthy: str | None = Field(None, description="why it takes no jobs any more; shown for ten minutes")


class WorkerRegistry:
    """The workers of each base model.

    Args:
        valkey: keeps the notes.
        forget_after_s: seconds of silence after which a worker counts as dead.
    """

    def __init__(self, valkey: Valkey, *, forget_after_s: float) -> None:
        self._valkey = valkey
        self._forget_after_ms = int(forget_after_s * 1000)

    def note(self, worker: WorkerNote) -> None:
        """Note that this worker lives, or why it has left."""
        shown_ms = self._forget_after_ms if worker.unhealthy is None else UNHEALTHY_SHOWN_MS
        self._valkey.set(_note(worker.name), worker.model_dump_json(), px=shown_ms)
        self._valkey.sadd(_names(worker.base_model), worker.name)

    def remove(self, worker: WorkerNote) -> None:
        """Forget a worker that leaves."""
        self._valkey.srem(_names(worker.base_model), worker.name)
        self._valkey.delete(_note(worker.name))

    def healthy(self, slug: str) -> list[WorkerNote]:
        """The workers of a base model that take jobs."""
        return [note for note in self.alive(slug) if note.unhealthy is None]

    def has_another(self, job: Job) -> bool:
        """Return whether a worker takes jobs of this base model on whose machine this job has not failed."""
        return any(note.name not in job.failed_on for note in self.healthy(job.spec.base_model))

    def alive(self, slug: str) -> list[WorkerNote]:
        """The workers of a base model, by name; those that fell silent are forgotten on the way."""
        names = sorted(cast(set[str], self._valkey.smembers(_names(slug))))
        if not names:
            return []
        notes = cast(list[str | None], self._valkey.mget([_note(name) for name in names]))
        silent = [name for name, note in zip(names, notes, strict=True) if note is None]
        if silent:
            self._valkey.srem(_names(slug), *silent)
        return read_all(WorkerNote, {name: note for name, note in zip(names, notes, strict=True) if note is not None})


def spares(workers: WorkerRegistry, worker: str, job: Job) -> bool:
    """Return whether this worker leaves a job, which failed on its machine, to another one."""
    return worker in job.failed_on and workers.has_another(job)


def _names(slug: str) -> str:
    return f"stokehold:workers:{slug}"


def _note(name: str) -> str:
    return NOTE + name
