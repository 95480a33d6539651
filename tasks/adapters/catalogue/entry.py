"""An adapter that a client has put into the catalogue."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field, StrictBool, StringConstraints, field_validator

from tasks.adapters.file.identity import FoundAdapter
from tasks.adapters.file.reference import ADAPTER_NAME, MAX_REFERENCE_CHARACTERS
from tasks.adapters.passport.passport import Passport
from tasks.fields import JSON_NUMBER, Frozen, StoredRecord

Word = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class Entry(Frozen):
    """The owner's description of an adapter."""

    name: str = Field(
        pattern=r"^[a-z0-9]+([._-]+[a-z0-9]+)*$", max_length=64, description="what a request writes as `ref`"
    )
    base_model: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="slug, id or alias; if left out, what its model card or its file says",
    )
    description: str = Field("", max_length=2000)
    trigger_words: tuple[Word, ...] | None = Field(
        None, max_length=20, description="words that a prompt needs for the full effect; if left out, those of the file"
    )
    tags: tuple[Word, ...] = Field((), max_length=20)
    default_scale: Annotated[float, Field(ge=-4, le=4, allow_inf_nan=False), JSON_NUMBER] = Field(
        1.0, description="scale of requests that do not give one"
    )
    sample_image: str | None = Field(None, max_length=2000, pattern="^https://[!-~]+$", description="URL of an image")
    licence: str | None = Field(None, min_length=1, max_length=100)
    shared: StrictBool = Field(False, description="whether other API keys may use it")

    @field_validator("name")
    @classmethod
    def _is_a_reference(cls, name: str) -> str:
        if not ADAPTER_NAME.fullmatch(name):
            raise ValueError("must not contain two dots in a row")
        return name


class Registration(Entry):
    """An entry for an adapter that is somewhere already."""

    ref: str | None = Field(
        None, min_length=1, max_length=MAX_REFERENCE_CHARACTERS, description="an adapter on the Hub, or at an address"
    )
    upload: str | None = Field(
        None, min_length=1, max_length=64, description="a file that was put into storage: `POST /v1/adapters/uploads`"
    )


class CatalogueAdapter(Entry, StoredRecord):
    """An entry with the file that it stands for, in one version.

    Attributes:
        id: of this entry alone; another one may have its name later.
        request_digest: digest of what its owner said when it was made: the same once more gives the same entry.
        owner: id of the API key that made it; None where none is configured.
        slug: of the base model that serves it.
        found: the file.
        passport: as it was when the entry was made.
    """

    model_config = StoredRecord.model_config

    id: str
    request_digest: str
    owner: str | None
    created_at: datetime
    slug: str
    pinned: bool = False
    found: FoundAdapter
    passport: Passport


def is_visible(entry: CatalogueAdapter, owner: str | None) -> bool:
    """Return whether someone may see and use an entry."""
    return entry.shared or entry.owner == owner
