"""What the Hub for tests keeps and how it answers: statuses, headers and JSON are those of the real Hub.

After https://huggingface.co/docs/hub/api and the client's own reading of the answers
(``huggingface_hub.utils._http.hf_raise_for_status`` and ``huggingface_hub.file_download.get_hf_file_metadata``).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. Its body's length is sent with it, whatever of the body is."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


class Refusal(Exception):
    """The Hub refuses: a status, the Hub's code for the reason if there is one, and a message."""

    def __init__(self, status: int, message: str, *, code: str | None = None, commit: str | None = None) -> None:
        super().__init__(message)
        headers = {"X-Error-Message": message, "X-Error-Code": code, "X-Repo-Commit": commit}
        self.answer = Answer(
            status,
            json.dumps({"error": message}).encode(),
            {name: value for name, value in headers.items() if value is not None},
        )


@dataclass
class Repository:
    """A model repository: every commit that it ever had, and the commit that each branch points at now."""

    name: str
    tags: Sequence[str]
    base_model: str | Sequence[str] | None
    gated: str | bool
    private: bool
    commits: dict[str, Mapping[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def commit(self, files: Mapping[str, bytes], branch: str) -> str:
        """Put a commit with exactly these files on top of a branch; returns its id."""
        digests = sorted((path, hashlib.sha256(content).hexdigest()) for path, content in files.items())
        sha = hashlib.sha1(f"{self.name} {self.branches.get(branch)} {digests}".encode()).hexdigest()
        self.commits[sha] = dict(files)
        self.branches[branch] = sha
        return sha

    def find(self, revision: str) -> str:
        """The commit that a branch or a commit id stands for."""
        sha = self.branches.get(revision, revision)
        if sha not in self.commits:
            raise Refusal(HTTPStatus.NOT_FOUND, f"Invalid rev id: {revision}", code="RevisionNotFound")
        return sha

    def model_info(self, sha: str, *, with_files: bool = False) -> Answer:
        """What ``GET /api/models/...`` answers; a gated repository is described to everybody."""
        info = {
            "id": self.name,
            "sha": sha,
            "private": self.private,
            "gated": self.gated,
            "tags": list(self.tags),
            "cardData": {} if self.base_model is None else {"base_model": self.base_model},
            "siblings": [
                {"rfilename": path, **(file_facts(content) if with_files else {})}
                for path, content in self.commits[sha].items()
            ],
        }
        return Answer(HTTPStatus.OK, json.dumps(info).encode(), {"Content-Type": "application/json"})

    def download(self, sha: str, path: str, byte_range: str) -> Answer:
        """What ``HEAD`` and ``GET /.../resolve/...`` answer: the file, or the part of it that ``byte_range`` names."""
        if self.gated:
            raise Refusal(HTTPStatus.UNAUTHORIZED, f"Access to model {self.name} is restricted.", code="GatedRepo")
        content = self.commits[sha].get(path)
        if content is None:
            raise Refusal(HTTPStatus.NOT_FOUND, "Entry not found", code="EntryNotFound", commit=sha)
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
        part = re.fullmatch(r"bytes=(\d+)-(\d*)", byte_range)
        if part is None:
            return Answer(HTTPStatus.OK, content, headers)
        first, last = int(part[1]), min(int(part[2] or len(content)), len(content) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        return Answer(HTTPStatus.PARTIAL_CONTENT, content[first : last + 1], headers)


def file_facts(content: bytes) -> dict[str, object]:
    """What the Hub says of a file, if it is asked; here every one is kept as a large one."""
    lfs = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return {"blobId": hashlib.sha1(content).hexdigest(), "size": len(content), "lfs": lfs}
