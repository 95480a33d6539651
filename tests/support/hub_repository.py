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

    def model_info(self, sha: str) -> Answer:
        """What ``GET /api/models/...`` answers; a gated repository is described to everybody."""
        info = {
            "id": self.name,
            "sha": sha,
            "private": self.private,
            "gated": self.gated,
            "tags": list(self.tags),
            "cardData": {} if self.base_model is None else {"base_model": self.base_model},
            "siblings": [{"rfilename": path} for path in self.commits[sha]],
        }
        return Answer(HTTPStatus.OK, json.dumps(info).encode(), {"Content-Type": "application/json"})

    def download(self, sha: str, path: str, byte_range: str) -> Answer:
        """What ``HEAD`` and ``GET /.../resolve/...`` answer: the file, or its rest from where ``byte_range`` begins."""
        if self.gated:
            raise Refusal(HTTPStatus.UNAUTHORIZED, f"Access to model {self.name} is restricted.", code="GatedRepo")
        content = self.commits[sha].get(path)
        if content is None:
            raise Refusal(HTTPStatus.NOT_FOUND, "Entry not found", code="EntryNotFound", commit=sha)
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
        begin = re.fullmatch(r"bytes=(\d+)-", byte_range)
        if begin is None:
            return Answer(HTTPStatus.OK, content, headers)
        first = int(begin[1])
        headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        return Answer(HTTPStatus.PARTIAL_CONTENT, content[first:], headers)
