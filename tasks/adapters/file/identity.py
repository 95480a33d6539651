"""The identity of an adapter: its source, and the bytes of its file."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from tasks.fields import Stored


class AdapterSource(StrEnum):
    """The source of an adapter's file."""

    HUB = "hub"
    """A repository on the model hub."""
    FOLDER = "folder"
    """A folder of this service's own."""
    UPLOAD = "upload"
    """A file that a client has put into our storage."""
    ADDRESS = "address"
    """A file on the web, or in storage that the operator names."""


FileVersion = tuple[AdapterSource, str, str, str]


def is_none(value: object) -> bool:
    """Return whether a field is left out."""
    return value is None


class PinnedFile(Stored):
    """A file of an adapter, in one version. Every form of an adapter that has a file inherits it."""

    source: AdapterSource
    repository: str = Field(description="`owner/name` on the Hub, the name in the catalogue, or an address")
    commit: str = Field(
        pattern="^([0-9a-f]{40}|[0-9a-f]{64})$",
        description="commit on the Hub; SHA-256 of an upload; of a file in a folder, its version: 48 digits of its "
        "size, header and samples of its values, and 16 of the time of its last change; of one at an address, its "
        "SHA-256, or a digest of its header, size and version where that is not known yet",
    )
    weight_name: str = Field(description="path of the file in the repository or folder; for an upload, its name")
    sha256: str | None = Field(None, description="of the file; null where nothing has told it or read the whole file")
    size_bytes: int | None = Field(None, description="of the file; null where it is not known")

    @property
    def version(self) -> FileVersion:
        """A key that no other file has, and no other version of this one."""
        return self.source, self.repository, self.commit, self.weight_name


class ResolvedAdapter(PinnedFile):
    """An adapter pinned to one file in one version, and to the base model that it was made for.

    It travels in the job's record: a job that is run again fetches exactly this file.
    """

    ref: str = Field(description="as the client wrote it")
    base_model: str = Field(description="slug of the base model that serves it")
    object_key: SkipJsonSchema[str | None] = Field(
        None, exclude_if=is_none, description="where an upload lies in storage; left out of all that is shown"
    )

    @property
    def shown(self) -> ResolvedAdapter:
        """The adapter as others may see it."""
        return self.model_copy(update={"object_key": None})


class FoundAdapter(PinnedFile):
    """One file in one version, and what its author says of it.

    Attributes:
        ref: as the client wrote it.
        base_names: names of the base model that it was made for, by its card or its sidecar.
        is_tagged: its author calls it a LoRA.
        trigger_words: by its card or its sidecar; empty where only the file itself may name some.
        default_scale: of a request that names none.
        object_key: where an uploaded file lies in storage. For us alone.
        warnings: what its place holds beside it, and which file was chosen there.
    """

    ref: str
    base_names: tuple[str, ...]
    is_tagged: bool = True
    trigger_words: tuple[str, ...] = ()
    default_scale: float = 1.0
    object_key: str | None = None
    warnings: tuple[str, ...] = ()

    def resolved(self, base_model: str) -> ResolvedAdapter:
        """The adapter for a job of this base model."""
        return ResolvedAdapter(**self.model_dump(include=set(ResolvedAdapter.model_fields)), base_model=base_model)


class FolderAdapter(BaseModel):
    """An adapter of the local catalogue, as ``GET /v1/adapters`` shows it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="what a request writes as `ref`")
    title: str = Field(description="path of its file in the folder, without the ending")
    base_model: str = Field(description="slug of the base model that serves it")
    rank: int | None = Field(description="rank of its largest low-rank product; null if it has none")
    trigger_words: tuple[str, ...] = Field(description="words that a prompt needs for the full effect")
    description: str
    size_bytes: int
    sha256: str | None = Field(description="null if nothing has read its whole file yet")


class LeftOut(BaseModel):
    """A file of a folder that is not among the adapters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="what a request would write as `ref`")
    file: str = Field(description="path of the file in the folder")
    reason: str = Field(description="why it is left out, and what to do about it")
