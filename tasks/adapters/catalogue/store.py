"""The catalogue: adapters that clients have registered or sent, by name.

stokehold:catalogue:<name>          string  an entry
stokehold:catalogue                 sorted  names of all entries, in alphabetical order
stokehold:catalogue_of:<owner>      set     names of an owner's entries
stokehold:catalogue_pinned:<slug>   hash    names of the pinned entries of a base model, with the bytes of their files
stokehold:adapters_used:<slug>      sorted  the adapters that jobs wanted last, by the time of the last such job
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from tasks.adapters.catalogue.entry import CatalogueAdapter, is_visible
from tasks.adapters.file.identity import FoundAdapter, ResolvedAdapter
from tasks.adapters.file.reference import ADAPTER_NAME
from tasks.errors import AdapterExists, AdapterNotInCatalogue, InvalidRequest, PinRefused
from tasks.fields import read, read_all
from tasks.holdings import stored_key, too_many_bytes
from tasks.objects.notes import NOTED
from tasks.valkey import Valkey

NAMES = "stokehold:catalogue"
MAX_ENTRIES = 1000
"""Of one owner."""
PAGE = 200
MAX_USED = 100
KEEP_FILE_S = 86_400
"""For which jobs that were accepted before still find the file of an entry that is gone."""


class Catalogue:
    """Entries by name. Names are the service's: two owners cannot have the same.

    Args:
        pinned_bytes: the most that the pinned adapters of a base model may have together.
    """

    def __init__(self, valkey: Valkey, *, pinned_bytes: int) -> None:
        self._valkey = valkey
        self._pinned_bytes = pinned_bytes
        self._register = valkey.script("adapters/catalogue/register")
        self._unregister = valkey.script("adapters/catalogue/unregister")
        self._pin = valkey.script("adapters/catalogue/pin")

    def add(self, entry: CatalogueAdapter, open_upload: str | None = None, *, max_bytes: int) -> None:
        """Add an entry, which takes its file and uses up the upload that it came by, in one step.

        Args:
            open_upload: key of the upload by which its file came.
            max_bytes: of all files of its owner.

        Raises:
            AdapterExists: another has its name.
            InvalidRequest: its owner has too many, its file is gone, or the upload was used.
            LimitExceeded: the files of its owner would have too many bytes.
        """
        owned = (_owned(entry.owner), NOTED, stored_key(entry.owner))
        keys = [_entry(entry.name), NAMES, *owned, *([open_upload] if open_upload else [])]
        file = (entry.found.object_key or "", entry.found.size_bytes or 0)
        match self._register(keys=keys, args=[entry.name, entry.model_dump_json(), MAX_ENTRIES, *file, max_bytes]):
            case "large":
                raise too_many_bytes(max_bytes)
            case "taken":
                raise AdapterExists(
                    f"An adapter named {entry.name!r} already exists. Choose another name.", field="name"
                )
            case "full":
                raise InvalidRequest(f"A key may have {MAX_ENTRIES} adapters. Remove one first.")
            case "used":
                raise InvalidRequest("This upload was registered before. Request a new one.", field="upload")
            case "gone":
                raise InvalidRequest("The upload took too long, and its file was removed. Send it again.")

    def get(self, name: str, owner: str | None) -> CatalogueAdapter:
        """An entry that someone may see.

        Raises:
            AdapterNotInCatalogue: there is none.
        """
        found = self.find(name, owner)
        if found is None:
            raise missing(name)
        return found

    def find(self, name: str, owner: str | None) -> CatalogueAdapter | None:
        """An entry, if someone may see it."""
        text = cast(str | None, self._valkey.get(_entry(name))) if ADAPTER_NAME.fullmatch(name) else None
        entry = None if text is None else read(CatalogueAdapter, text, f"Adapter {name}")
        return entry if entry is not None and is_visible(entry, owner) else None

    def find_file(self, name: str, owner: str | None) -> FoundAdapter | None:
        """The file of an entry, if someone may see it."""
        entry = self.find(name, owner)
        return None if entry is None else entry.found

    def has(self, name: str) -> bool:
        """Return whether a name is taken, by whomever."""
        return bool(self._valkey.exists(_entry(name)))

    def behind(self, name: str) -> Iterator[CatalogueAdapter]:
        """All entries whose names come after this one, in alphabetical order."""
        first = f"({name}" if name else "-"
        while names := cast(list[str], self._valkey.zrange(NAMES, first, "+", bylex=True, offset=0, num=PAGE)):
            yield from self._existing(names)
            first = f"({names[-1]}"

    def remove(self, entry: CatalogueAdapter) -> None:
        """Remove an entry, but none that has its name by now. Its file goes a day later: jobs may want it that were
        accepted before.
        """
        owned = (_owned(entry.owner), _pinned(entry.slug), NOTED, stored_key(entry.owner))
        keys = [_entry(entry.name), NAMES, *owned]
        self._unregister(keys=keys, args=[entry.name, entry.id, entry.found.object_key or "", KEEP_FILE_S])

    def pin(self, entry: CatalogueAdapter) -> None:
        """Keep an adapter in the memory of every worker of its base model.

        Raises:
            AdapterNotInCatalogue: it was removed meanwhile.
            PinRefused: the pinned ones would take too much of it.
        """
        total = self._set_pinned(entry, size=entry.found.size_bytes or 0)
        if total is not None:
            raise PinRefused(
                f"The pinned adapters of {entry.slug} would have {total} bytes, and may have {self._pinned_bytes}: "
                "half of a worker's memory for adapters. Unpin another one first."
            )

    def unpin(self, entry: CatalogueAdapter) -> None:
        """Let an adapter go from memory when others are wanted.

        Raises:
            AdapterNotInCatalogue: it was removed meanwhile.
        """
        self._set_pinned(entry, size=None)

    def pinned(self, slug: str) -> list[CatalogueAdapter]:
        """The pinned adapters of a base model."""
        names = sorted(cast(list[str], self._valkey.hkeys(_pinned(slug))))
        return self._existing(names) if names else []

    def note_use(self, adapters: tuple[ResolvedAdapter, ...], now: float) -> None:
        """Note that a job wants these adapters."""
        if not adapters:
            return
        with self._valkey.pipeline(transaction=False) as pipeline:
            for adapter in adapters:
                pipeline.zadd(_used(adapter.base_model), {adapter.model_dump_json(): now})
                pipeline.zremrangebyrank(_used(adapter.base_model), 0, -MAX_USED - 1)
            pipeline.execute()

    def used(self, slug: str) -> list[ResolvedAdapter]:
        """The adapters of a base model that jobs wanted last, the latest first."""
        texts = cast(list[str], self._valkey.zrevrange(_used(slug), 0, MAX_USED - 1))
        return read_all(ResolvedAdapter, {f"A used adapter of {slug}: {text}": text for text in texts})

    def _existing(self, names: list[str]) -> list[CatalogueAdapter]:
        """The entries of these names, without those that are gone."""
        texts = cast(list[str | None], self._valkey.mget([_entry(name) for name in names]))
        found = {f"Adapter {name}": text for name, text in zip(names, texts, strict=True) if text is not None}
        return read_all(CatalogueAdapter, found)

    def _set_pinned(self, entry: CatalogueAdapter, *, size: int | None) -> str | None:
        """Pin or unpin; how many bytes the pinned ones would have where that is too much."""
        changed = entry.model_copy(update={"pinned": size is not None}).model_dump_json()
        arguments = [entry.name, entry.id, changed, "" if size is None else size, self._pinned_bytes]
        answer = cast(str, self._pin(keys=[_entry(entry.name), _pinned(entry.slug)], args=arguments))
        if answer == "gone":
            raise missing(entry.name)
        return None if answer == "ok" else answer


def missing(name: str) -> AdapterNotInCatalogue:
    """The error for a name that no entry has."""
    return AdapterNotInCatalogue(f"The catalogue has no adapter {name[:64]!r}; GET /v1/adapters lists its adapters.")


def _entry(name: str) -> str:
    return f"stokehold:catalogue:{name}"


def _owned(owner: str | None) -> str:
    return f"stokehold:catalogue_of:{owner or ''}"


def _pinned(slug: str) -> str:
    return f"stokehold:catalogue_pinned:{slug}"


def _used(slug: str) -> str:
    return f"stokehold:adapters_used:{slug}"
