"""Adapters as the service knows them: one that a job uses, pinned; and one that the local catalogue offers."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from tasks.fields import Stored


class AdapterSource(StrEnum):
    """Where an adapter's file comes from."""

    HUB = "hub"
    """A repository on the model hub."""
    FOLDER = "folder"
    """A folder of this service's own."""
    UPLOAD = "upload"
    """A file that a client has put into our storage."""


def is_none(value: object) -> bool:
    """Whether a field is left out."""
    return value is None


class ResolvedAdapter(Stored):
    """An adapter pinned to one file in one version, and to the base model that it was made for.

    It travels in the job's record: a job that is run again fetches exactly this file.
    """

    ref: str = Field(description="as the client wrote it")
    source: AdapterSource
    repository: str = Field(description="`owner/name` on the Hub, or the name in the catalogue")
    commit: str = Field(
        pattern="^([0-9a-f]{40}|[0-9a-f]{64})$", description="commit on the Hub; of any other file, its SHA-256"
    )
    sha256: str | None = Field(None, description="of the file; null where the Hub does not name it")
    size_bytes: int | None = Field(None, description="of the file; null where the Hub does not name it")
    weight_name: str = Field(description="the file: its path in the repository or folder; of an upload a name for it")
    base_model: str = Field(description="slug of the base model that serves it")
    object_key: SkipJsonSchema[str | None] = Field(
        None, exclude_if=is_none, description="where an upload lies in storage; left out of all that is shown"
    )

    @property
    def shown(self) -> ResolvedAdapter:
        """The adapter as others may see it."""
        return self.model_copy(update={"object_key": None})


class LocalAdapter(BaseModel):
    """An adapter of the local catalogue, as ``GET /v1/adapters`` shows it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="what a request writes as `ref`")
    base_model: str = Field(description="slug of the base model that serves it")
    rank: int | None = Field(description="of its largest low-rank product; null for adapters that have none")
    trigger_words: tuple[str, ...] = Field(description="words that a prompt needs for the full effect")
    description: str
    size_bytes: int
    sha256: str
