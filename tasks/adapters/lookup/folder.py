"""The catalogue of local adapters: folders of safetensors files, looked at anew as the files change.

Nothing is read when the service starts. A list reads the headers that no process has read yet, some at a time; a whole
file is read when a worker uses it. A file that cannot be used is left out with its reason: in the list, in the log and
in the response to a request that gives its name. One bad file must not take the others away.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from threading import Lock

from tasks.adapters.file.identity import AdapterSource, FolderAdapter, FoundAdapter, LeftOut, PinnedFile
from tasks.adapters.file.reference import AdapterReference
from tasks.adapters.file.safetensors import SafetensorsHeader, read_header
from tasks.adapters.file.sidecar import AdapterDescription
from tasks.adapters.file.version import version_of
from tasks.adapters.lookup.file_memory import FileMemory, NoMemory, known_checksums, remembered_sha256
from tasks.adapters.lookup.folder_files import FolderFile, files_of
from tasks.adapters.lookup.folder_names import SUFFIX, FolderNames, names_of, title_of
from tasks.adapters.lookup.folder_readings import Reading, Readings
from tasks.base_models.registry import BaseModels
from tasks.errors import AdapterNotFound, AdapterNotUsable, ConfigurationError
from tasks.loops.loop import BUDGET_S, within

logger = logging.getLogger(__name__)

MAX_READ = 50
"""Headers that one list reads; a large one takes some 20 ms."""
UNREAD = "It has not been read yet. Ask again in a few seconds."


@dataclass(frozen=True)
class FolderListing:
    """The files of all folders, by name."""

    adapters: tuple[FolderAdapter, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True)
class Located:
    """The files of all folders by their paths below them, and the names of these paths."""

    files: Mapping[str, FolderFile]
    names: FolderNames


class AdapterFolders:
    """The adapters of some folders. Thread-safe; where two folders hold the same path, the earlier folder wins."""

    def __init__(self, folders: Sequence[Path], base_models: BaseModels, memory: FileMemory | None = None) -> None:
        """Look whether the folders are there.

        Args:
            memory: what other processes have read; with None, this one reads all of it.

        Raises:
            ConfigurationError: a folder does not exist.
        """
        for folder in folders:
            if not folder.is_dir():
                raise ConfigurationError(f"{folder} is not a folder. Create it, or change STOKEHOLD_ADAPTER_FOLDERS.")
        self._folders = tuple(folders)
        self._base_models = base_models
        self._memory = memory or NoMemory()
        self._readings = Readings(self._folders, self._memory)
        self._told: dict[FolderFile, str] = {}
        self._lock = Lock()

    def adapters(self) -> tuple[FolderAdapter, ...]:
        """Return every adapter whose base model is known, by name."""
        return self.listing().adapters

    def listing(self, *, max_read: int = MAX_READ) -> FolderListing:
        """Return every file. New, changed and removed ones are noticed.

        Args:
            max_read: the most files that are read for it. Those beyond are left out until a later list has read them.
        """
        located = self._located()
        files = list(located.files.values())
        self._readings.keep_only(files)
        readings = self._readings.of_all(files, max_new=max_read)
        checksums = known_checksums([file.path for file in files], self._memory)
        entries = [
            self._entry(file, located.names.of[file.below], readings.get(file), sha256)
            for file, sha256 in zip(files, checksums, strict=True)
        ]
        entries.sort(key=attrgetter("name"))
        return FolderListing(
            adapters=tuple(entry for entry in entries if isinstance(entry, FolderAdapter)),
            left_out=tuple(entry for entry in entries if isinstance(entry, LeftOut)),
        )

    def read_new(self) -> None:
        """Read the headers that no process has read yet, as many as a round has time for."""
        for listing in within(BUDGET_S, iter(self.listing, None)):
            if all(one.reason != UNREAD for one in listing.left_out):
                return

    def look_up(self, reference: AdapterReference) -> FoundAdapter:
        """Pin a local adapter to the present version of its file, whether or not its base model is served.

        Raises:
            AdapterNotFound: no folder holds it, or several files have this name.
            AdapterNotUsable: its file or its sidecar stands in the way; the message says which.
        """
        file = self._find(reference.repository)
        reading = self._readings.of(file)
        if reading.description is None:
            raise AdapterNotUsable(reading.reason)
        (sha256,) = known_checksums([file.path], self._memory)
        try:
            version, size = version_of(file.path), file.path.stat().st_size
        except OSError as error:
            raise AdapterNotUsable(f"{file.path.name} cannot be read ({error.strerror}). Check the file.") from error
        return FoundAdapter(
            ref=str(reference),
            source=AdapterSource.FOLDER,
            repository=reference.repository,
            commit=version,
            weight_name=file.below,
            sha256=sha256,
            size_bytes=size,
            base_names=reading.description.base_models,
            trigger_words=reading.description.trigger_words,
        )

    def read_header(self, found: FoundAdapter) -> SafetensorsHeader:
        """Read the header of a local adapter's file.

        Raises:
            AdapterNotFound: the file is gone.
            AdapterNotUsable: it is not a complete safetensors file any more.
        """
        path = self.path_of(found)
        if path is None:
            raise AdapterNotFound(f"The file of adapter {found.repository!r} was removed from its folder a moment ago.")
        return read_header(path)

    def path_of(self, adapter: PinnedFile) -> Path | None:
        """Return where an adapter's file is on this machine, whatever is in it now."""
        files = (FolderFile(folder, adapter.weight_name) for folder in self._folders)
        return next((file.path for file in files if file.is_there and file.is_inside(self._folders)), None)

    def sha256_of(self, path: Path) -> str:
        """Return the SHA-256 of a file, which is read only where no process has read it as it is now.

        Raises:
            OSError: it cannot be read.
        """
        return remembered_sha256(path, self._memory)

    def has(self, name: str) -> bool:
        """Return whether a file, or several, would have this name."""
        names = self._located().names
        return self._at_the_top(name) is not None or name in names.paths or name in names.shared

    def _find(self, name: str) -> FolderFile:
        """Return the file that has a name now.

        Raises:
            AdapterNotFound: there is none, or there are several.
        """
        if (file := self._at_the_top(name)) is not None:
            return file
        located = self._located()
        if (below := located.names.paths.get(name)) is not None:
            return located.files[below]
        if (others := located.names.shared.get(name)) is not None:
            raise AdapterNotFound(f"Several files would be called {name!r}. Write {' or '.join(map(repr, others))}.")
        raise AdapterNotFound(
            f"There is no adapter {name!r} in the catalogue; GET /v1/adapters lists them. "
            "An adapter on the Hub is written owner/name."
        )

    def _at_the_top(self, name: str) -> FolderFile | None:
        """Return the file in a folder itself that is called so: no other can have its name."""
        files = (FolderFile(folder, f"{name}{SUFFIX}") for folder in self._folders)
        return next((file for file in files if file.is_there), None)

    def _located(self) -> Located:
        files = {file.below: file for folder in reversed(self._folders) for file in files_of(folder)}
        return Located(files, names_of(frozenset(files)))

    def _entry(
        self, file: FolderFile, name: str, reading: Reading | None, sha256: str | None
    ) -> FolderAdapter | LeftOut:
        """Return how a file is listed. The log names one that is left out, once for each reason."""
        description = None if reading is None else reading.description
        model = None if description is None else self._base_models.find(*description.base_models)
        if description is not None and model is not None:
            return FolderAdapter(
                name=name,
                title=title_of(file.below),
                base_model=model.slug,
                rank=description.rank,
                trigger_words=description.trigger_words,
                description=description.description,
                size_bytes=description.size_bytes,
                sha256=sha256,
            )
        reason = UNREAD if reading is None else reading.reason or unserved(file, reading.description)
        if reading is not None:
            self._tell(file, reason)
        return LeftOut(name=name, file=path_text(file), reason=reason)

    def _tell(self, file: FolderFile, reason: str) -> None:
        with self._lock:
            told = self._told.get(file)
            self._told[file] = reason
        if told != reason:
            logger.warning("adapter %s/%s is left out: %s", file.folder, path_text(file), reason)


def path_text(file: FolderFile) -> str:
    """Return a file's path below its folder, as it is shown."""
    return f"{title_of(file.below)}{file.path.suffix}"


def unserved(file: FolderFile, description: AdapterDescription | None) -> str:
    """Return why a whole file is not listed."""
    named = () if description is None else description.base_models
    fault = f"was made for {' or '.join(named)}, which is not served here" if named else "does not name its base model"
    return (
        f'It {fault}. Write base_model = "..." into {file.path.stem}.toml beside it to have it listed; until then a '
        "request can use it with a base model that its layers fit."
    )
