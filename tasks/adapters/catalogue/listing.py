"""The catalogue as clients see it: the entries of clients and the files of the adapter folders, by name."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from operator import attrgetter

from pydantic import BaseModel, ConfigDict, Field

from tasks.adapters.catalogue.entry import CatalogueAdapter, is_visible
from tasks.adapters.catalogue.store import Catalogue, missing
from tasks.adapters.file.identity import AdapterSource, FolderAdapter, LeftOut
from tasks.adapters.lookup.folder import AdapterFolders
from tasks.adapters.passport.passport import Passport


class CatalogueRecord(BaseModel):
    """An adapter of the catalogue."""

    model_config = ConfigDict(frozen=True)

    name: str = Field(description="what a request writes as `ref`")
    title: str = Field(description="of a folder adapter, the path of its file without the ending; otherwise its name")
    source: AdapterSource
    base_model: str = Field(description="slug of the base model that serves it")
    description: str
    trigger_words: tuple[str, ...] = Field(description="words that a prompt needs for the full effect")
    tags: tuple[str, ...] = ()
    default_scale: float = Field(1.0, description="scale of requests that do not give one")
    sample_image: str | None = Field(None, description="URL of an image that was made with it")
    licence: str | None = Field(None, description="under which its owner offers it")
    rank: int | None = Field(description="rank of its largest low-rank product; null if it has none")
    size_bytes: int | None
    sha256: str | None
    mine: bool = Field(description="whether this API key may change and remove it")
    shared: bool = Field(description="whether other API keys may use it")
    pinned: bool = Field(False, description="whether every worker of its base model keeps it in memory")
    created_at: datetime | None = Field(None, description="null for a folder adapter")


class CatalogueDetail(CatalogueRecord):
    """An adapter of the catalogue, with its passport."""

    passport: Passport | None = Field(description="as it was when the entry was made; null for a folder adapter")


class CataloguePage(BaseModel):
    """Some adapters of the catalogue, by name."""

    model_config = ConfigDict(frozen=True)

    adapters: tuple[CatalogueRecord, ...]
    left_out: tuple[LeftOut, ...] = Field(
        description="files of folders with names on this page that are not among the adapters, and why"
    )
    next_after: str | None = Field(description="value of `after` for the next page; null on the last page")


class Search(BaseModel):
    """A filter of adapters; all conditions must hold."""

    model_config = ConfigDict(frozen=True)

    text: str | None = None
    base: str | None = None
    tag: str | None = None

    def finds(self, item: CatalogueRecord | LeftOut) -> bool:
        """Return whether an adapter is one of them; one that is left out has no base model and no tags."""
        if isinstance(item, LeftOut):
            return self._occurs_in(item.name, item.file) and self.base is None and self.tag is None
        return (
            self._occurs_in(item.name, item.title, item.description, *item.trigger_words, *item.tags)
            and self.base in (None, item.base_model)
            and (self.tag is None or self.tag in item.tags)
        )

    def _occurs_in(self, *texts: str) -> bool:
        said = " ".join(texts).casefold()
        return self.text is None or all(word in said for word in self.text.casefold().split())


@dataclass(frozen=True)
class CatalogueList:
    """The entries of clients and the files of the adapter folders, as an owner sees them."""

    catalogue: Catalogue
    folders: AdapterFolders

    def page(self, owner: str | None, search: Search, *, limit: int, after: str) -> CataloguePage:
        """A page of the adapters that an owner may see.

        Args:
            after: the name behind which it begins; empty for the first page.
        """
        found = list(islice(filter(search.finds, self._items(owner, after)), limit + 1))
        return CataloguePage(
            adapters=tuple(item for item in found[:limit] if isinstance(item, CatalogueRecord)),
            left_out=tuple(item for item in found[:limit] if isinstance(item, LeftOut)),
            next_after=found[limit - 1].name if len(found) > limit else None,
        )

    def _items(self, owner: str | None, after: str) -> Iterator[CatalogueRecord | LeftOut]:
        """Yield all adapters that an owner may see and all files that are left out, in the order of their names."""
        listing = self.folders.listing()
        files = (record_of_file(adapter) for adapter in listing.adapters if adapter.name > after)
        left_out = (file for file in listing.left_out if file.name > after)
        entries = (record_of(entry, owner) for entry in self.catalogue.behind(after) if is_visible(entry, owner))
        return heapq.merge(files, left_out, entries, key=attrgetter("name"))

    def detail(self, name: str, owner: str | None) -> CatalogueDetail:
        """One adapter of the catalogue.

        Raises:
            AdapterNotInCatalogue: there is none that this owner may see.
        """
        entry = self.catalogue.find(name, owner)
        if entry is not None:
            return CatalogueDetail(**record_of(entry, owner).model_dump(), passport=entry.passport)
        for adapter in self.folders.adapters():
            if adapter.name == name:
                return CatalogueDetail(**record_of_file(adapter).model_dump(), passport=None)
        raise missing(name)


def record_of(entry: CatalogueAdapter, owner: str | None) -> CatalogueRecord:
    """An entry as someone sees it."""
    fields = entry.model_dump(
        include={"name", "description", "tags", "default_scale", "sample_image", "licence", "shared"}
    )
    return CatalogueRecord(
        **fields,
        title=entry.name,
        base_model=entry.slug,
        source=entry.found.source,
        trigger_words=entry.trigger_words or (),
        rank=max(entry.passport.ranks, default=None),
        size_bytes=entry.found.size_bytes,
        sha256=entry.found.sha256,
        mine=entry.owner == owner,
        pinned=entry.pinned,
        created_at=entry.created_at,
    )


def record_of_file(adapter: FolderAdapter) -> CatalogueRecord:
    """A file of a folder."""
    return CatalogueRecord(**adapter.model_dump(), source=AdapterSource.FOLDER, mine=False, shared=True)
