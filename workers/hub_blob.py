"""Files in the Hub client's cache are named for their content: whether the content is that."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from tasks.adapters.lookup.folder import file_sha256

SHA256 = re.compile("[0-9a-f]{64}")
GIT_BLOB = re.compile("[0-9a-f]{40}")


def is_damaged(path: Path) -> bool:
    """Whether a downloaded file is another than the Hub named before it sent it.

    The client checks the length alone. Its cache links each file to a blob that is named by the Hub's ETag: of a large
    file the SHA-256, of a small one git's own digest. Where the cache has no links, nothing is known.

    Raises:
        OSError: the file cannot be read.
    """
    if not path.is_symlink():
        return False
    name = path.readlink().name
    if SHA256.fullmatch(name):
        return file_sha256(path.resolve()) != name
    return GIT_BLOB.fullmatch(name) is not None and git_digest(path.read_bytes()) != name


def git_digest(content: bytes) -> str:
    """The name that git gives to a file of this content."""
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content), usedforsecurity=False).hexdigest()
