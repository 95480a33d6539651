"""The SHA-256 of files at addresses, known once a worker has read one of them whole.

stokehold:file-checksum:<version>   string  SHA-256 of the file; expires
"""

from __future__ import annotations

from typing import cast

from tasks.valkey import Valkey

KEEP_S = 400 * 86_400


class Checksums:
    """What each version of a file was found to hold. Thread-safe."""

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey

    def of(self, version: str) -> str | None:
        """The SHA-256 of a version; None before anybody has read it whole.

        Raises:
            ValkeyUnavailable: Valkey does not answer.
        """
        return cast(str | None, self._valkey.get(f"stokehold:file-checksum:{version}"))

    def note(self, version: str, sha256: str) -> str:
        """Note what a version holds; the SHA-256 that was noted first, which is not given up for another.

        Raises:
            ValkeyUnavailable: Valkey does not answer.
        """
        self._valkey.set(f"stokehold:file-checksum:{version}", sha256, ex=KEEP_S, nx=True)
        return self.of(version) or sha256
