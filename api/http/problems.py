"""Every error as a problem document (RFC 9457), and the handlers that check it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from uuid import uuid4

from flask import Flask, Response, request
from flask_openapi3.types import ResponseDict
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from werkzeug.exceptions import HTTPException, InternalServerError

from storage import StorageError
from tasks.errors import (
    ApiKeyRequired,
    InvalidRequest,
    LimitExceeded,
    RequestError,
    ServiceUnavailable,
    StokeholdError,
    StorageUnavailable,
)

logger = logging.getLogger(__name__)

CONTENT_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:stokehold:problem:"
ANY_STATUS = "default"
"""OpenAPI's key for the response of every status that an operation does not list."""

RETRY_AFTER_S = 2
RETRY_AFTER_HEADER = {"description": "seconds after which to try again", "schema": {"type": "integer"}}
CHALLENGE = "Bearer"
CHALLENGE_HEADER = {"description": "how to authenticate", "schema": {"type": "string"}}
MAX_FIELD_ERRORS = 20
MAX_FIELD_CHARACTERS = 100


class FieldError(BaseModel):
    """A field that is not valid."""

    model_config = ConfigDict(frozen=True)

    field: str = Field(description="path of the field, e.g. `adapters.0.ref`")
    reason: str


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    model_config = ConfigDict(frozen=True)

    type: str = Field(
        "about:blank",
        description="stable: `urn:stokehold:problem:<code>`, or `about:blank` if the status says it all",
        examples=["urn:stokehold:problem:adapter_not_found"],
    )
    title: str = Field(description="the same for every error of this type")
    status: int = Field(description="the HTTP status")
    detail: str = Field(description="what is wrong with this request, and what to do about it")
    errors: tuple[FieldError, ...] = Field((), description="the fields that are not valid, if any")

    @property
    def code(self) -> str | None:
        """The code of its type; None where the status alone names the problem."""
        return self.type.removeprefix(TYPE_PREFIX) if self.type.startswith(TYPE_PREFIX) else None


def documented(*statuses: HTTPStatus, headers: Mapping[str, object] = MappingProxyType({})) -> ResponseDict:
    """Return the errors of an operation, for the OpenAPI document: these statuses with these headers, and any other."""
    content = {CONTENT_TYPE: {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}}
    again = {"Retry-After": RETRY_AFTER_HEADER}
    own_headers = {
        HTTPStatus.UNAUTHORIZED: {"WWW-Authenticate": CHALLENGE_HEADER},
        HTTPStatus.TOO_MANY_REQUESTS: again,
        HTTPStatus.SERVICE_UNAVAILABLE: again,
    }
    return {
        **{
            status: {
                "description": status.phrase,
                "content": content,
                "headers": {**own_headers.get(status, {}), **headers},
            }
            for status in statuses
        },
        ANY_STATUS: {"description": "Any other error", "content": content},
    }


def type_of(code: str) -> str:
    """Return the type of the problems of one code."""
    return f"{TYPE_PREFIX}{code}"


def of_error(error: StokeholdError, status: HTTPStatus, detail: str, errors: Sequence[FieldError] = ()) -> Problem:
    """Return the problem of one of our errors."""
    return Problem(type=type_of(error.code), title=error.title, status=status, detail=detail, errors=tuple(errors))


def of_request(error: RequestError) -> Response:
    """Return the problem of a request that cannot be served as it is."""
    errors = [FieldError(field=error.field, reason=str(error))] if error.field else []
    return respond(of_error(error, HTTPStatus(error.http_status), str(error), errors))


def of_missing_key(error: ApiKeyRequired) -> Response:
    """Return the problem of a request without a valid API key."""
    response = of_request(error)
    response.headers["WWW-Authenticate"] = CHALLENGE
    return response


def of_limit(error: LimitExceeded) -> Response:
    """Return the problem of a request that exceeds a limit."""
    response = of_request(error)
    response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def of_validation(error: ValidationError) -> Response:
    """Return the problem of a request whose fields pydantic refuses. No value is echoed, and names are bounded."""
    errors = [
        FieldError(field=".".join(map(str, problem["loc"]))[:MAX_FIELD_CHARACTERS], reason=problem["msg"])
        for problem in error.errors(include_url=False, include_context=False, include_input=False)[:MAX_FIELD_ERRORS]
    ]
    detail = "; ".join(f"{problem.field}: {problem.reason}" for problem in errors)
    return respond(of_error(InvalidRequest(detail), HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors))


def of_unavailable(error: ServiceUnavailable, *others: ServiceUnavailable) -> Response:
    """Return the problem of servers that are unavailable. Their addresses are for the operator, in the log alone."""
    for away in (error, *others):
        logger.warning("%s: %s", away.code, away)
    titles = ". ".join(away.title for away in (error, *others))
    detail = f"{titles}. Send the same request again in {RETRY_AFTER_S} seconds."
    response = respond(of_error(error, HTTPStatus.SERVICE_UNAVAILABLE, detail))
    response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def of_storage(error: StorageError) -> Response:
    """Return the problem of a refusal by storage; the request is not at fault, whatever the reason."""
    return of_unavailable(StorageUnavailable(str(error)))


def of_http(error: HTTPException) -> Response:
    """Return the problem of a refusal by Flask or Werkzeug."""
    response = respond(Problem(title=error.name, status=error.code or 500, detail=error.description or error.name))
    response.headers.extend((name, value) for name, value in error.get_headers() if name != "Content-Type")
    return response


def of_fault(error: InternalServerError) -> Response:
    """Return the problem of an unexpected error, with a reference to the log, where Flask has put its traceback."""
    reference = uuid4().hex
    kind = type(error.original_exception or error).__name__
    logger.warning("the fault logged before this, %s on %s %s, is %s", kind, request.method, request.path, reference)
    detail = f"Something went wrong in this service, and its operator can see what. Quote {reference} to them."
    return respond(Problem(title=error.name, status=HTTPStatus.INTERNAL_SERVER_ERROR, detail=detail))


def respond(problem: Problem) -> Response:
    """Return a problem as an HTTP response."""
    body = problem.model_dump_json(exclude=None if problem.errors else {"errors"})
    return Response(body, problem.status, content_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"})


def register(app: Flask) -> None:
    """Make every error response of ``app`` a problem document."""
    app.register_error_handler(RequestError, of_request)
    app.register_error_handler(ApiKeyRequired, of_missing_key)
    app.register_error_handler(LimitExceeded, of_limit)
    app.register_error_handler(ServiceUnavailable, of_unavailable)
    app.register_error_handler(StorageError, of_storage)
    app.register_error_handler(HTTPException, of_http)
    app.register_error_handler(InternalServerError, of_fault)
