"""An adapter that exists, before it is known which base model serves it."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.adapters import AdapterSource, ResolvedAdapter


@dataclass(frozen=True)
class FoundAdapter:
    """One file in one version, and what its author says of it.

    Attributes:
        ref: as the client wrote it.
        base_names: names of the base model that it was made for, by its card or its sidecar.
        is_tagged: its author calls it a LoRA.
        trigger_words: by its card or its sidecar; empty where only the file itself may name some.
        default_scale: of a request that names none.
        object_key: where an uploaded file lies in storage. For us alone.
    """

    ref: str
    source: AdapterSource
    repository: str
    commit: str
    weight_name: str
    sha256: str | None
    size_bytes: int | None
    base_names: tuple[str, ...]
    is_tagged: bool = True
    trigger_words: tuple[str, ...] = ()
    default_scale: float = 1.0
    object_key: str | None = None

    def resolved(self, base_model: str) -> ResolvedAdapter:
        """The adapter for a job of this base model."""
        return ResolvedAdapter(
            ref=self.ref,
            source=self.source,
            repository=self.repository,
            commit=self.commit,
            sha256=self.sha256,
            size_bytes=self.size_bytes,
            weight_name=self.weight_name,
            base_model=base_model,
            object_key=self.object_key,
        )
