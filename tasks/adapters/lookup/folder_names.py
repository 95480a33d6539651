"""Names for the files of adapter folders: what a request writes for ``styles/Neon Style XL.safetensors``.

A file in the folder itself whose name a request can write has just this name. Any other gets a *slug* of its name, in
lower-case ASCII. Files that would share a slug get a suffix each, from their paths. The name with the suffix is valid
even where none is needed, so that it outlives any file that comes later.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

from anyascii import anyascii

from tasks.adapters.file.reference import ADAPTER_NAME
from tasks.adapters.file.sidecar import PICKLE_SUFFIXES

SUFFIX = ".safetensors"
MAX_CHARACTERS = 64
SUFFIX_DIGITS = (8, 16, 32)
"""Of a path's digest. A longer one is taken where even the shorter is another file's name."""
NAMELESS = "adapter"
"""The slug of a name without any letter or digit."""


@dataclass(frozen=True)
class FolderNames:
    """The names of some files, which are given by their paths below their folders.

    Attributes:
        of: the name of each path.
        paths: the path of each name, those that a later file may make necessary included.
        shared: slugs of several files, and the names that these have instead.
    """

    of: Mapping[str, str]
    paths: Mapping[str, str]
    shared: Mapping[str, Sequence[str]]


@lru_cache(maxsize=8192)
def title_of(path: str) -> str:
    """Return the path of a file without its ending, as people read it."""
    return os.fsencode(str(PurePosixPath(path).with_suffix(""))).decode("utf-8", "replace")


@lru_cache(maxsize=8192)
def slug_of(path: str) -> str:
    """Return the name of a file in the letters that a reference may have."""
    words = anyascii(unicodedata.normalize("NFKC", PurePosixPath(path).stem)).lower()
    slug = re.sub(r"\.\.+", ".", re.sub("--+", "-", re.sub("[^a-z0-9._-]+", "-", words)))
    return slug.strip("-._")[:MAX_CHARACTERS].rstrip("-._") or NAMELESS


@lru_cache(maxsize=8192)
def suffixed(path: str, digits: int = SUFFIX_DIGITS[0]) -> str:
    """Return a name that hardly any other path has."""
    suffix = hashlib.sha256(os.fsencode(unicodedata.normalize("NFC", path))).hexdigest()[:digits]
    return f"{slug_of(path)[: MAX_CHARACTERS - digits - 1].rstrip('-._')}-{suffix}"


@lru_cache(maxsize=4)
def names_of(paths: frozenset[str]) -> FolderNames:
    """Return the names of some files. They do not depend on any order."""
    taken = {PurePosixPath(path).stem: path for path in paths if is_name(path)}
    shared: dict[str, Sequence[str]] = {}
    others = paths - set(taken.values())
    for tier in ({path for path in others if not is_pickle(path)}, {path for path in others if is_pickle(path)}):
        for slug, group in by_slug(tier).items():
            if len(group) == 1 and slug not in taken and slug not in shared:
                taken[slug] = group[0]
                continue
            names = [take_suffixed(path, taken) for path in group]
            if slug not in taken:
                shared[slug] = [*shared.get(slug, ()), *names]
    lasting = {suffixed(path): path for path in sorted(others)}
    return FolderNames({path: name for name, path in taken.items()}, {**lasting, **taken}, shared)


def is_name(path: str) -> bool:
    """Return whether a request can write the name of a file as it is."""
    found = PurePosixPath(path)
    return found.name == path and ADAPTER_NAME.fullmatch(found.stem) is not None and found.suffix == SUFFIX


def is_pickle(path: str) -> bool:
    """Return whether a file is a pickle by its name."""
    return PurePosixPath(path).suffix.lower() in PICKLE_SUFFIXES


def by_slug(paths: Iterable[str]) -> Mapping[str, Sequence[str]]:
    """Return paths by their slugs, all in order."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(paths):
        groups[slug_of(path)].append(path)
    return dict(sorted(groups.items()))


def take_suffixed(path: str, taken: dict[str, str]) -> str:
    """Take a name with a suffix that no other path has, and return it."""
    name = next(name for digits in SUFFIX_DIGITS if (name := suffixed(path, digits)) not in taken)
    taken[name] = path
    return name
