"""The catalogue: adapters that clients have registered or sent, by name.

stokehold:catalogue:<name>          string  an entry
stokehold:catalogue                 sorted  names of all entries, in alphabetical order
stokehold:catalogue_of:<owner>      set     names of an owner's entries
stokehold:catalogue_pinned:<slug>   set     names of the pinned entries of a base model
stokehold:catalogue_removed         sorted  objects whose entries are gone, by the time at which they went
stokehold:adapters_used:<slug>      sorted  the adapters that jobs wanted last, by the time of the last such job
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from tasks.adapters import AdapterSource, ResolvedAdapter
from tasks.broker import Broker
from tasks.catalogue_entry import CatalogueAdapter, is_visible
from tasks.errors import AdapterExists, AdapterNotInCatalogue, InvalidRequest, PinRefused

NAMES = "stokehold:catalogue"
REMOVED = "stokehold:catalogue_removed"
MAX_ENTRIES = 1000
"""Of one owner."""
PAGE = 200
MAX_USED = 100
REMOVE_AFTER_S = 86_400
"""For which jobs that were accepted before still find the file of an entry that is gone."""


class Catalogue:
    """Entries by name. Names are the service's: two owners cannot have the same.

    Args:
        pinned_bytes: the most that the pinned adapters of a base model may have together.
    """

    def __init__(self, broker: Broker, *, pinned_bytes: int) -> None:
        self._broker = broker
        self._pinned_bytes = pinned_bytes
        self._register = broker.script("register")

    def add(self, entry: CatalogueAdapter) -> None:
        """Add an entry.

        Raises:
            AdapterExists: another has its name.
            InvalidRequest: its owner has too many.
        """
        keys = [_entry(entry.name), NAMES, _owned(entry.owner)]
        match self._register(keys=keys, args=[entry.name, entry.model_dump_json(), MAX_ENTRIES]):
            case "taken":
                raise AdapterExists(f"There is an adapter {entry.name!r} already. Choose another name.", field="name")
            case "full":
                raise InvalidRequest(f"A key may have {MAX_ENTRIES} adapters. Remove one first.")

    def get(self, name: str, owner: str | None) -> CatalogueAdapter:
        """An entry that someone may see.

        Raises:
            AdapterNotInCatalogue: there is none.
        """
        found = self.find(name, owner)
        if found is None:
            raise AdapterNotInCatalogue(f"There is no adapter {name!r} in the catalogue; GET /v1/adapters lists them.")
        return found

    def find(self, name: str, owner: str | None) -> CatalogueAdapter | None:
        """An entry, if someone may see it."""
        text = cast(str | None, self._broker.get(_entry(name)))
        entry = None if text is None else CatalogueAdapter.model_validate_json(text)
        return entry if entry is not None and is_visible(entry, owner) else None

    def has(self, name: str) -> bool:
        """Whether a name is taken, by whomever."""
        return bool(self._broker.exists(_entry(name)))

    def behind(self, name: str) -> Iterator[CatalogueAdapter]:
        """All entries whose names come after this one, in alphabetical order."""
        first = f"({name}" if name else "-"
        while names := cast(list[str], self._broker.zrange(NAMES, first, "+", bylex=True, offset=0, num=PAGE)):
            for text in cast(list[str | None], self._broker.mget([_entry(one) for one in names])):
                if text is not None:
                    yield CatalogueAdapter.model_validate_json(text)
            first = f"({names[-1]}"

    def remove(self, entry: CatalogueAdapter, now: float) -> None:
        """Remove an entry. Its file goes a day later: jobs may want it that were accepted before."""
        with self._broker.pipeline() as pipeline:
            pipeline.delete(_entry(entry.name))
            pipeline.zrem(NAMES, entry.name)
            pipeline.srem(_owned(entry.owner), entry.name)
            pipeline.srem(_pinned(entry.slug), entry.name)
            if entry.found.source is AdapterSource.UPLOAD:
                pipeline.zadd(REMOVED, {entry.found.weight_name: now + REMOVE_AFTER_S})
            pipeline.execute()

    def removed(self, now: float) -> list[str]:
        """Objects in storage that no entry and no job needs any more."""
        return cast(list[str], self._broker.zrangebyscore(REMOVED, "-inf", now))

    def forget_file(self, key: str) -> None:
        """Note that such an object is gone."""
        self._broker.zrem(REMOVED, key)

    def pin(self, entry: CatalogueAdapter) -> CatalogueAdapter:
        """Keep an adapter in the memory of every worker of its base model.

        Raises:
            PinRefused: the pinned ones would take too much of it.
        """
        others = [one for one in self.pinned(entry.slug) if one.name != entry.name]
        total = sum(one.found.size_bytes or 0 for one in (*others, entry))
        if total > self._pinned_bytes:
            raise PinRefused(
                f"The pinned adapters of {entry.slug} would have {total} bytes, and may have "
                f"{self._pinned_bytes}: half of STOKEHOLD_ADAPTER_MEMORY_BYTES. Unpin another one first."
            )
        return self._set_pinned(entry, pinned=True)

    def unpin(self, entry: CatalogueAdapter) -> CatalogueAdapter:
        """Let an adapter go from memory when others are wanted."""
        return self._set_pinned(entry, pinned=False)

    def pinned(self, slug: str) -> list[CatalogueAdapter]:
        """The pinned adapters of a base model."""
        names = sorted(cast(set[str], self._broker.smembers(_pinned(slug))))
        texts = cast(list[str | None], self._broker.mget([_entry(name) for name in names])) if names else []
        return [CatalogueAdapter.model_validate_json(text) for text in texts if text is not None]

    def note_use(self, adapters: tuple[ResolvedAdapter, ...], now: float) -> None:
        """Note that a job wants these adapters."""
        if not adapters:
            return
        with self._broker.pipeline(transaction=False) as pipeline:
            for adapter in adapters:
                pipeline.zadd(_used(adapter.base_model), {adapter.model_dump_json(): now})
                pipeline.zremrangebyrank(_used(adapter.base_model), 0, -MAX_USED - 1)
            pipeline.execute()

    def used(self, slug: str) -> list[ResolvedAdapter]:
        """The adapters of a base model that jobs wanted last, the latest first."""
        texts = cast(list[str], self._broker.zrevrange(_used(slug), 0, MAX_USED - 1))
        return [ResolvedAdapter.model_validate_json(text) for text in texts]

    def _set_pinned(self, entry: CatalogueAdapter, *, pinned: bool) -> CatalogueAdapter:
        changed = entry.model_copy(update={"pinned": pinned})
        with self._broker.pipeline() as pipeline:
            pipeline.set(_entry(entry.name), changed.model_dump_json(), xx=True)
            (pipeline.sadd if pinned else pipeline.srem)(_pinned(entry.slug), entry.name)
            pipeline.execute()
        return changed


def _entry(name: str) -> str:
    return f"stokehold:catalogue:{name}"


def _owned(owner: str | None) -> str:
    return f"stokehold:catalogue_of:{owner or ''}"


def _pinned(slug: str) -> str:
    return f"stokehold:catalogue_pinned:{slug}"


def _used(slug: str) -> str:
    return f"stokehold:adapters_used:{slug}"
