"""One line of a batch's file: a request with an id of its submitter's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from pydantic import Field, ValidationError

from tasks.batch import MAX_LINE_BYTES
from tasks.errors import InvalidRequest
from tasks.requests import JobRequest


class BatchLine(JobRequest):
    """A line: the body of ``POST /v1/jobs``, and what its result is called."""

    custom_id: str = Field(min_length=1, max_length=200, description="one's own name for the line; no two are the same")
    webhook_url: None = Field(None, description="a batch has one of its own")


def parse_line(text: bytes) -> BatchLine:
    """Read a line.

    Raises:
        InvalidRequest: it is too long, no JSON object, or a field of it is wrong.
    """
    if len(text) > MAX_LINE_BYTES:
        raise InvalidRequest(f"The line has more than {MAX_LINE_BYTES} bytes.")
    try:
        return BatchLine.model_validate_json(text)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)[:5]
        raise InvalidRequest(
            "; ".join(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}".lstrip(": ") for problem in problems)
        ) from None


def lines_of(file: IO[bytes]) -> Iterator[bytes]:
    """The lines of a file, without what ends them; of one that is too long, no more than shows that it is."""
    while text := file.readline(MAX_LINE_BYTES + 2):
        is_whole = text.endswith(b"\n") or len(text) <= MAX_LINE_BYTES + 1
        yield text.rstrip(b"\r\n")
        while not is_whole and (rest := file.readline(MAX_LINE_BYTES)):
            is_whole = rest.endswith(b"\n")
