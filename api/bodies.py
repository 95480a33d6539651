"""How the body of a request is read."""

from __future__ import annotations

from flask import request
from pydantic_core import from_json
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType


def require_json_object() -> None:
    """Refuse a body that is no JSON object, before flask-openapi3 reads it, which would answer 422 to all of this.

    It also reads with the standard library, which takes NaN and lone surrogates for JSON and overflows its stack on
    deep nesting; what pydantic's parser has let pass is safe for it.

    Raises:
        UnsupportedMediaType: the content type is another one (415).
        RequestEntityTooLarge: the body is longer than ``MAX_CONTENT_LENGTH`` (413).
        BadRequest: the body is no JSON, or no object (400).
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
    """The body of the request.

    Raises:
        RequestEntityTooLarge: it is too long. One that comes in chunks tells its length only by not ending.
    """
    body = request.get_data()
    if request.content_length is None and len(body) >= (request.max_content_length or 0):
        raise RequestEntityTooLarge
    return body
