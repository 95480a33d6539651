"""Images of a batch into a folder: several at a time, and none that is there already."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

AT_ONCE = 8
UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Downloads:
    """The outcome of the downloads of a batch.

    Attributes:
        fetched: images that were fetched.
        kept: images that were there already.
    """

    fetched: int
    kept: int


def download(results: Iterable[str], folder: Path, fetch: Callable[[str], bytes]) -> Downloads:
    """Put the images of results into a folder, and the results themselves into ``results.jsonl``.

    Args:
        results: one a line, as the API gives them.
        fetch: gets the content behind a URL.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fetched = kept = 0
    beside = folder / "results.jsonl.new"
    with ThreadPoolExecutor(AT_ONCE) as pool, beside.open("w", encoding="utf-8") as file:
        for line, new in ordered(pool, results, lambda text: one_line(text, folder, fetch)):
            file.write(json.dumps(line) + "\n")
            fetched, kept = fetched + new.fetched, kept + new.kept
    beside.replace(folder / "results.jsonl")
    return Downloads(fetched, kept)


def ordered(
    pool: ThreadPoolExecutor, results: Iterable[str], work: Callable[[str], tuple[dict[str, Any], Downloads]]
) -> Iterator[tuple[dict[str, Any], Downloads]]:
    """Work on all results, a bounded number at once, and yield the outcomes in their order."""
    left = iter(results)
    while some := list(islice(left, 8 * AT_ONCE)):
        yield from pool.map(work, some)


def one_line(text: str, folder: Path, fetch: Callable[[str], bytes]) -> tuple[dict[str, Any], Downloads]:
    """Fetch the images of one result, and return it with their files in place of their URLs."""
    line, fetched, kept = json.loads(text), 0, 0
    for number, image in enumerate(line["images"]):
        url = image.pop("url")
        if url is None:  # withheld by the safety checker
            continue
        path = folder / file_name(line, number, url)
        if is_there(path, image["sha256"]):
            kept += 1
        else:
            save(path, fetch(url))
            fetched += 1
        image["file"] = path.name
    return line, Downloads(fetched, kept)


def file_name(line: dict[str, Any], number: int, url: str) -> str:
    """The name of an image: its line's number and own id, and its number within the line."""
    own = UNSAFE.sub("_", line["custom_id"])[:80]
    return f"{line['line']:07}-{own}-{number}{PurePosixPath(urlsplit(url).path).suffix}"


def is_there(path: Path, sha256: str) -> bool:
    """Return whether a file has this content."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except FileNotFoundError:
        return False


def save(path: Path, content: bytes) -> None:
    """Write a file as a whole or not at all."""
    beside = path.with_name(f"{path.name}.new")
    beside.write_bytes(content)
    beside.replace(path)
