"""References to adapters: ``owner/name[@revision][:folder/file.safetensors]``, or one word for our own catalogue.

They are written the same way wherever a client names an adapter: in a body, a path, a header, a line of a batch. Any
character may be percent-encoded, and a page of the Hub is taken for the reference that it stands for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote, urlsplit

from tasks.errors import InvalidRequest

MAX_REFERENCE_CHARACTERS = 2000
SHOWN = 100
EXPECTED = (
    "Write owner/name[@revision][:file.safetensors] for an adapter on the Hub, "
    "or one lower-case word for one of the catalogue, as GET /v1/adapters lists them"
)

ADAPTER_NAME = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)
# The Hub's own rules for a repository: huggingface_hub.utils.validate_repo_id.
_REPOSITORY = re.compile(r"(?!.*(?:\.\.|--))\w(?:[\w.-]{0,94}\w)?/\w(?:[\w.-]{0,94}\w)?(?<!\.git)", re.ASCII)
# Branches, tags, commits and refs/pr/1: git allows more, which is not used.
_REVISION = re.compile(r"(?!.*(?:\.\.|//))\w(?:[\w./+-]{0,126}\w)?", re.ASCII)

HUB_HOSTS = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})
FILE_PAGES = frozenset({"blob", "resolve", "raw"})
FOLDER_PAGE = "tree"


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
            raise not_a_reference(str(self))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The reference that ``text`` spells; ``str`` of it is the plainest text for the same one.

        Raises:
            InvalidRequest: it spells none; the message shows the expected form.
        """
        if is_hub_page(text):
            return cls(*parts_of_page(text))
        head, colon, weight_name = decoded(text).partition(":")
        repository, at, revision = head.partition("@")
        return cls(repository, revision if at else None, weight_name if colon else None)

    @property
    def is_name(self) -> bool:
        """Return whether it names an adapter of our own catalogue."""
        return "/" not in self.repository

    def __str__(self) -> str:
        revision = "" if self.revision is None else f"@{self.revision}"
        weight_name = "" if self.weight_name is None else f":{self.weight_name.replace('%', '%25')}"
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


def not_a_reference(text: str) -> InvalidRequest:
    """The error for what is no reference."""
    return InvalidRequest(f"{text[:SHOWN]!r} is not an adapter reference. {EXPECTED}.")


def decoded(text: str) -> str:
    """A text without percent-encoding.

    Raises:
        InvalidRequest: what is encoded is not UTF-8.
    """
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise not_a_reference(text) from None


def is_hub_page(text: str) -> bool:
    """Return whether a text is the address of something on the Hub."""
    scheme, separator, rest = text.partition("://")
    return bool(separator) and scheme.lower() in ("https", "http") and rest.split("/")[0].lower() in HUB_HOSTS


def parts_of_page(address: str) -> tuple[str, str | None, str | None]:
    """Repository, revision and file of a page on the Hub: of a repository, its list of files, or a file.

    Raises:
        InvalidRequest: it is another page.
    """
    parts = [decoded(part) for part in urlsplit(address).path.strip("/").split("/")]
    repository, page = "/".join(parts[:2]), parts[2] if len(parts) > 2 else ""
    revision, path = revision_and_path(parts[3:])
    if len(parts) == 2:
        return repository, None, None
    if page == FOLDER_PAGE and revision and not path:
        return repository, revision, None
    if page in FILE_PAGES and revision and path:
        return repository, revision, path
    raise InvalidRequest(
        f"{address[:SHOWN]!r} is not the page of a model's repository or of a file in one. {EXPECTED}."
    )


def revision_and_path(parts: list[str]) -> tuple[str, str]:
    """A revision and what follows it; on its pages the Hub encodes the slashes of a branch, and may not of a ref."""
    length = 3 if parts[:1] == ["refs"] else 1
    return "/".join(parts[:length]), "/".join(parts[length:])
