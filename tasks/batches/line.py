"""One line of a batch's file: a request, as of ``POST /v1/jobs`` or of OpenAI, and an id from its client."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import IO, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag, TypeAdapter, ValidationError

from tasks.base_models.registry import BaseModels
from tasks.batches.batch import MAX_LINE_BYTES
from tasks.errors import InvalidRequest
from tasks.requests.job import JobRequest
from tasks.requests.openai import ImagesRequest, job_request

CustomId = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class BatchLine(JobRequest):
    """A line: the body of ``POST /v1/jobs``, and the name of its result."""

    custom_id: CustomId = Field(description="the client's name for the line; no two are the same")
    webhook_url: None = Field(None, description="of a batch, not of a line")


class OpenAiLine(BaseModel):
    """A line of an OpenAI batch file for images. Its result has URLs, whatever ``response_format`` says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    custom_id: CustomId
    method: Literal["POST"]
    url: Literal["/v1/images/generations"]
    body: ImagesRequest

    def as_batch_line(self, base_models: BaseModels) -> BatchLine:
        """Return the same request in the shape of ``POST /v1/jobs``."""
        request = job_request(self.body.named_model(base_models), self.body)
        return BatchLine(custom_id=self.custom_id, **request.model_dump(exclude={"webhook_url"}))


def shape_of(line: object) -> str:
    """Return the name of the shape that a line has."""
    return "openai" if isinstance(line, Mapping) and "body" in line else "ours"


LINE: TypeAdapter[BatchLine | OpenAiLine] = TypeAdapter(
    Annotated[Annotated[BatchLine, Tag("ours")] | Annotated[OpenAiLine, Tag("openai")], Discriminator(shape_of)]
)


def parse_line(text: bytes, base_models: BaseModels) -> BatchLine:
    """Read a line.

    Raises:
        InvalidRequest: it is too long, no JSON object, or a field of it is wrong.
    """
    if len(text) > MAX_LINE_BYTES:
        raise InvalidRequest(f"The line has more than {MAX_LINE_BYTES} bytes.")
    try:
        line = LINE.validate_json(text)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)[:5]
        raise InvalidRequest("; ".join(map(described, problems))) from None
    return line.as_batch_line(base_models) if isinstance(line, OpenAiLine) else line


def described(problem: Mapping[str, Any]) -> str:
    """Describe an error in a field, without the name of the shape that pydantic puts in front of its path."""
    path = ".".join(map(str, problem["loc"][1:]))
    return f"{path}: {problem['msg']}" if path else str(problem["msg"])


def lines_of(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a file without their line ends; a line that is too long is cut just above the limit."""
    for text in iter(partial(file.readline, MAX_LINE_BYTES + 2), b""):
        yield text.rstrip(b"\r\n")
        is_whole = text.endswith(b"\n") or len(text) <= MAX_LINE_BYTES + 1
        while not is_whole and (rest := file.readline(MAX_LINE_BYTES)):
            is_whole = rest.endswith(b"\n")
