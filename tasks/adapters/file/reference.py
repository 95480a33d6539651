"""References to adapters: ``owner/name[@revision][:weight_name]``, or one word for our own catalogue."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from tasks.errors import InvalidRequest

MAX_REFERENCE_CHARACTERS = 300
EXPECTED = (
    "Write owner/name[@revision][:file.safetensors] for an adapter on the Hub, "
    "or one lower-case word for one of the catalogue, as GET /v1/adapters lists them"
)

ADAPTER_NAME = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
# The Hub's own rules for a repository: huggingface_hub.utils.validate_repo_id.
_REPOSITORY = re.compile(r"(?!.*(?:\.\.|--))\w(?:[\w.-]{0,94}\w)?/\w(?:[\w.-]{0,94}\w)?(?<!\.git)", re.ASCII)
# Branches, tags, commits and refs/pr/1: git allows more, which is not used.
_REVISION = re.compile(r"(?!.*(?:\.\.|//))\w(?:[\w./+-]{0,126}\w)?", re.ASCII)


@dataclass(frozen=True)
class AdapterReference:
    """A well-formed reference; whether the adapter exists is the resolver's question.

    Attributes:
        repository: ``owner/name`` on the Hub, or the name in our catalogue.
        revision: commit, tag or branch; None means the Hub's ``main``.
        weight_name: path of the file within the repository; None leaves the choice to the resolver.

    Raises:
        InvalidRequest: a part is not of this form, is too long, or a catalogue name has a revision or a file.
    """

    repository: str
    revision: str | None = None
    weight_name: str | None = None

    def __post_init__(self) -> None:
        well_formed = self._is_catalogue_name() if self.is_name else self._is_hub_reference()
        if not well_formed or len(str(self)) > MAX_REFERENCE_CHARACTERS:
            raise InvalidRequest(f"{str(self)[:100]!r} is not an adapter reference. {EXPECTED}.")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The reference that ``text`` spells; ``str`` of it gives ``text`` back.

        Raises:
            InvalidRequest: it spells none; the message shows the expected form.
        """
        head, colon, weight_name = text.partition(":")
        repository, at, revision = head.partition("@")
        return cls(repository, revision if at else None, weight_name if colon else None)

    @property
    def is_name(self) -> bool:
        """Return whether it names an adapter of our own catalogue."""
        return "/" not in self.repository

    def __str__(self) -> str:
        revision = "" if self.revision is None else f"@{self.revision}"
        weight_name = "" if self.weight_name is None else f":{self.weight_name}"
        return f"{self.repository}{revision}{weight_name}"

    def _is_catalogue_name(self) -> bool:
        return (
            ADAPTER_NAME.fullmatch(self.repository) is not None and self.revision is None and self.weight_name is None
        )

    def _is_hub_reference(self) -> bool:
        return (
            _REPOSITORY.fullmatch(self.repository) is not None
            and (self.revision is None or _REVISION.fullmatch(self.revision) is not None)
            and (self.weight_name is None or _is_weight_name(self.weight_name))
        )


def _is_weight_name(path: str) -> bool:
    """Return whether a path stays inside its repository, on every operating system, and ends in ``.safetensors``."""
    return (
        path.isprintable()
        and not set(path) & set("\\:")
        and not {"", ".", ".."} & set(path.split("/"))
        and path.endswith(".safetensors")
    )
