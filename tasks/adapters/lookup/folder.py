"""The catalogue of local adapters: folders of ``<name>.safetensors`` files, read anew as the files change.

A file that cannot be used is left out, by name and with its reason: in the log for the operator, once for each version
of the file, and in the response to a request that gives its name. One bad file must not take the others away.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import attrgetter
from pathlib import Path
from threading import Lock

from tasks.adapters.file.identity import AdapterSource, FolderAdapter, FoundAdapter
from tasks.adapters.file.reference import ADAPTER_NAME, AdapterReference
from tasks.adapters.file.safetensors import SafetensorsHeader, read_header
from tasks.adapters.file.sidecar import PICKLE_SUFFIXES, AdapterDescription, describe
from tasks.base_models.registry import BaseModels
from tasks.errors import AdapterNotFound, AdapterNotUsable, ConfigurationError

logger = logging.getLogger(__name__)

SUFFIX = ".safetensors"

Stamp = tuple[int, int, int]
"""What changes when a file does: time of its last change in nanoseconds, size in bytes, inode."""


@dataclass(frozen=True)
class _Described:
    """A whole file, and what it and its sidecar say.

    Attributes:
        base_model: slug of the served base model that these name; None where they name none.
    """

    name: str
    description: AdapterDescription
    base_model: str | None
    size_bytes: int
    sha256: str

    @property
    def listed(self) -> FolderAdapter | None:
        """Its entry in the catalogue; None where it is left out."""
        if self.base_model is None:
            return None
        return FolderAdapter(
            name=self.name,
            base_model=self.base_model,
            rank=self.description.rank,
            trigger_words=self.description.trigger_words,
            description=self.description.description,
            size_bytes=self.size_bytes,
            sha256=self.sha256,
        )

    def found(self, ref: str, weight_name: str) -> FoundAdapter:
        """The adapter, for a reference to it."""
        return FoundAdapter(
            ref=ref,
            source=AdapterSource.FOLDER,
            repository=self.name,
            commit=self.sha256,
            weight_name=weight_name,
            sha256=self.sha256,
            size_bytes=self.size_bytes,
            base_names=self.description.base_models,
            trigger_words=self.description.trigger_words,
        )


@dataclass(frozen=True)
class _Entry:
    """What a file was found to be, as long as its and its sidecar's stamps stay the same."""

    stamps: tuple[Stamp | None, Stamp | None]
    outcome: _Described | AdapterNotUsable


class AdapterFolders:
    """The adapters of some folders. Thread-safe; where two folders hold the same name, the earlier folder wins."""

    def __init__(self, folders: Sequence[Path], base_models: BaseModels) -> None:
        """Read every adapter once, so that the operator learns at start what is left out.

        Raises:
            ConfigurationError: a folder does not exist.
        """
        for folder in folders:
            if not folder.is_dir():
                raise ConfigurationError(f"{folder} is not a folder. Create it, or change STOKEHOLD_ADAPTER_FOLDERS.")
        self._folders = tuple(folders)
        self._base_models = base_models
        self._entries: dict[Path, _Entry] = {}
        self._lock = Lock()
        self.adapters()

    def adapters(self) -> tuple[FolderAdapter, ...]:
        """Every adapter whose base model is known, by name. New, changed and removed files are noticed."""
        paths = {path.name: path for path in reversed(tuple(self._files()))}
        outcomes = [self._outcome(path) for path in paths.values()]
        with self._lock:
            for gone in self._entries.keys() - set(paths.values()):
                del self._entries[gone]
        listed = [outcome.listed for outcome in outcomes if isinstance(outcome, _Described)]
        return tuple(sorted((adapter for adapter in listed if adapter is not None), key=attrgetter("name")))

    def look_up(self, reference: AdapterReference) -> FoundAdapter:
        """Pin a local adapter to the present content of its file, whether or not its base model is served.

        Raises:
            AdapterNotFound: no folder holds it.
            AdapterNotUsable: its file or its sidecar stands in the way; the message says which.
        """
        path = self.find(reference.repository)
        if path is None:
            raise AdapterNotFound(
                f"There is no adapter {reference.repository!r} in the catalogue; GET /v1/adapters lists them. "
                "An adapter on the Hub is written owner/name."
            )
        outcome = self._outcome(path)
        if isinstance(outcome, AdapterNotUsable):
            raise AdapterNotUsable(str(outcome))
        return outcome.found(str(reference), path.name)

    def read_header(self, found: FoundAdapter) -> SafetensorsHeader:
        """The header of a local adapter's file.

        Raises:
            AdapterNotFound: the file is gone.
            AdapterNotUsable: it is not a complete safetensors file any more.
        """
        path = self.find(found.repository)
        if path is None:
            raise AdapterNotFound(f"The file of adapter {found.repository!r} was removed from its folder a moment ago.")
        return read_header(path)

    def find(self, name: str) -> Path | None:
        """The file that a local adapter has now, in the first folder that holds one."""
        paths = (folder / f"{name}{SUFFIX}" for folder in self._folders)
        return next((path for path in paths if path.is_file()), None)

    def _files(self) -> Iterator[Path]:
        for folder in self._folders:
            try:
                paths = sorted(folder.iterdir())
            except OSError as error:
                logger.error("adapter folder %s cannot be read, its adapters are missing: %s", folder, error)
                continue
            yield from (path for path in paths if path.suffix in {SUFFIX, *PICKLE_SUFFIXES})

    def _outcome(self, path: Path) -> _Described | AdapterNotUsable:
        stamps = _stamp_if_there(path), _stamp_if_there(path.with_suffix(".toml"))
        with self._lock:
            known = self._entries.get(path)
            if known is None or known.stamps != stamps:
                known = self._entries[path] = _Entry(stamps, self._read(path))
            return known.outcome

    def _read(self, path: Path) -> _Described | AdapterNotUsable:
        try:
            return self._describe(path)
        except OSError as error:
            reason = AdapterNotUsable(f"{path.name} cannot be read ({error.strerror}). Check the file.")
        except AdapterNotUsable as error:
            reason = error
        logger.warning("adapter %s is left out: %s", path, reason)
        return reason

    def _describe(self, path: Path) -> _Described:
        if not ADAPTER_NAME.fullmatch(path.stem):
            raise AdapterNotUsable(
                f"{path.name} has a name that no request can use. Rename it, with lower-case letters, digits, "
                "'.', '_' and '-'."
            )
        description = describe(path)
        base_model = self._base_models.find(*description.base_models)
        if base_model is None:
            named = f"was made for {' or '.join(description.base_models)}, which is not served here"
            reason = named if description.base_models else "does not name its base model"
            logger.warning(
                'adapter %s is left out: it %s. Write base_model = "..." into %s.toml beside it; until then, whoever '
                "knows its name can use it with a base model that its layers fit.",
                path,
                reason,
                path.stem,
            )
        return _Described(
            name=path.stem,
            description=description,
            base_model=None if base_model is None else base_model.slug,
            size_bytes=path.stat().st_size,
            sha256=file_sha256(path),
        )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, computed once for each version of it.

    Raises:
        OSError: the file cannot be read.
    """
    return _sha256(path, _stamp(path))


@lru_cache(maxsize=4096)
def _sha256(path: Path, stamp: Stamp) -> str:  # noqa: ARG001 (the stamp is there for the cache)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stamp(path: Path) -> Stamp:
    status = path.stat()
    return status.st_mtime_ns, status.st_size, status.st_ino


def _stamp_if_there(path: Path) -> Stamp | None:
    try:
        return _stamp(path)
    except OSError:
        return None
