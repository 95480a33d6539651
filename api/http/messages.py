"""Bodies and parameters of requests, and JSON responses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from http import HTTPStatus
from typing import Annotated, Any

from flask import Response, request
from pydantic import BaseModel, Field
from pydantic_core import from_json
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType


def json_response(
    model: BaseModel, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a model as a JSON response, which is never cached: it is true for the moment, and its URLs expire."""
    response = Response(model.model_dump_json(), status, content_type="application/json", headers=headers)
    response.cache_control.no_store = True
    return response


def require_json_object() -> None:
    """Refuse a body that is not a JSON object, before flask-openapi3 reads it, which would return 422 for all of this.

    It also reads with the standard library, which takes NaN and lone surrogates for JSON and overflows its stack on
    deep nesting; what pydantic's parser has let pass is safe for it.

    Raises:
        UnsupportedMediaType: the content type is another one (415).
        RequestEntityTooLarge: the body is longer than ``MAX_CONTENT_LENGTH`` (413).
        BadRequest: the body is not JSON, or not an object (400).
    """
    if request.method != "POST":
        return
    if not request.is_json:
        raise UnsupportedMediaType("Send the body as JSON, with the header Content-Type: application/json.")
    try:
        body = from_json(whole_body(), allow_inf_nan=False)
    except RequestEntityTooLarge:
        raise RequestEntityTooLarge(f"The body may have at most {request.max_content_length} bytes.") from None
    except ValueError as error:
        raise BadRequest(f"The body is not valid JSON: {error}.") from None
    if not isinstance(body, dict):
        raise BadRequest("The body must be a JSON object.")


def whole_body() -> bytes:
    """Return the body of the request.

    Raises:
        RequestEntityTooLarge: it is too long. The length of one that comes in chunks is known only at its end.
    """
    body = request.get_data()
    if request.content_length is None and len(body) >= (request.max_content_length or 0):
        raise RequestEntityTooLarge
    return body


class Parameters(BaseModel):
    """Base of such models: its JSON schema is made once.

    flask-openapi3 asks for the schema at every request, to tell lists from single values, and pydantic makes it anew
    each time; that alone took four tenths of a poll.
    """

    @classmethod
    def model_json_schema(cls, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Return the schema that pydantic makes. It is shared: do not change it."""
        return made_once(super().model_json_schema, *arguments, **options)


IdempotencyKey = Annotated[str | None, Field(alias="Idempotency-Key", min_length=1, max_length=255, pattern="^[!-~]+$")]
"""A header that the client chooses: printable ASCII without spaces. The field's description says how long it holds."""


@cache
def made_once(make: Callable[..., dict[str, Any]], *arguments: Any, **options: Any) -> dict[str, Any]:
    """Return the value that ``make`` returned for these arguments the first time."""
    return make(*arguments, **options)
