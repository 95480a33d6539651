"""How an answer is written."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from flask import Response
from pydantic import BaseModel


def answer(model: BaseModel, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
    """A model as JSON, never cached: what it says is true for the moment, and its URLs expire."""
    response = Response(model.model_dump_json(), status, content_type="application/json", headers=headers)
    response.cache_control.no_store = True
    return response
