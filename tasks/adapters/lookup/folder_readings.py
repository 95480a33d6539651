"""What the files of adapter folders and their sidecars say, each read once for each version."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from pathlib import Path
from threading import Lock

from tasks.adapters.file.sidecar import AdapterDescription, describe
from tasks.adapters.lookup.file_memory import FileMemory, key_of, stamp_if_there
from tasks.adapters.lookup.folder_files import FolderFile
from tasks.errors import AdapterNotUsable, RecordNotUnderstood
from tasks.fields import StoredRecord, read

LINK = "is a link that leads to no file in the adapter folders. Copy the file into one of them."


class Reading(StoredRecord):
    """What a file and its sidecar say.

    Attributes:
        description: None where the file cannot be used.
        reason: why that is so.
    """

    description: AdapterDescription | None = None
    reason: str = ""


class Readings:
    """Reads headers and sidecars. Thread-safe: no lock is held while a file is read.

    Args:
        folders: where files may be; a link that leads out of them is not followed.
        memory: what other processes have read.
    """

    def __init__(self, folders: Sequence[Path], memory: FileMemory) -> None:
        self._folders = folders
        self._memory = memory
        self._known: dict[FolderFile, tuple[str, Reading]] = {}
        self._lock = Lock()

    def of(self, file: FolderFile) -> Reading:
        """Return what a file says."""
        return self.of_all([file], max_new=1)[file]

    def of_all(self, files: Collection[FolderFile], *, max_new: int) -> Mapping[FolderFile, Reading]:
        """Return what files say.

        Args:
            max_new: the most files that are read for it. Those beyond are missing in the answer.
        """
        keys = {file: reading_key(file.path) for file in files}
        found = self._in_this_process(keys)
        found |= self._in_memory({file: key for file, key in keys.items() if file not in found})
        unread = [file for file in files if file not in found]
        found |= {file: self._read(file, keys[file]) for file in islice(unread, max_new)}
        with self._lock:
            self._known |= {file: (keys[file], reading) for file, reading in found.items()}
        return found

    def keep_only(self, files: Collection[FolderFile]) -> None:
        """Forget in this process all files but these."""
        with self._lock:
            for gone in self._known.keys() - set(files):
                del self._known[gone]

    def _in_this_process(self, keys: Mapping[FolderFile, str]) -> dict[FolderFile, Reading]:
        with self._lock:
            known = {file: self._known.get(file) for file in keys}
        return {file: one[1] for file, one in known.items() if one is not None and one[0] == keys[file]}

    def _in_memory(self, keys: Mapping[FolderFile, str]) -> dict[FolderFile, Reading]:
        texts = self._memory.recall(list(keys.values())) if keys else ()
        found = {file: parsed(text) for file, text in zip(keys, texts, strict=True) if text is not None}
        return {file: reading for file, reading in found.items() if reading is not None}

    def _read(self, file: FolderFile, key: str) -> Reading:
        if not file.is_utf8:
            return Reading(reason="Its name is not UTF-8. Rename it.")
        try:
            if not (file.is_there and file.is_inside(self._folders)):
                raise AdapterNotUsable(f"{file.path.name} {LINK}")
            reading = Reading(description=describe(file.path))
        except OSError as error:
            return Reading(reason=f"{file.path.name} cannot be read ({error.strerror}). Check the file.")
        except AdapterNotUsable as error:
            reading = Reading(reason=str(error))
            if isinstance(error.__cause__, OSError):  # the disk may answer the next time
                return reading
        if not file.path.is_symlink():  # other settings may allow the link
            self._memory.remember(key, reading.model_dump_json())
        return reading


def reading_key(path: Path) -> str:
    """Return the key of what a file says, as it and its sidecar are now."""
    return key_of("reading", str(path), stamp_if_there(path), stamp_if_there(path.with_suffix(".toml")))


def parsed(text: str) -> Reading | None:
    """Return a remembered reading; None for one of another version, which is read anew."""
    try:
        return read(Reading, text, "What a file says")
    except RecordNotUnderstood:
        return None
