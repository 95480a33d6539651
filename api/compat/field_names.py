"""Refusals in the words of another API: its field names, and its member ``error``."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from flask import Response

from api.http.problems import CONTENT_TYPE, Problem
from tasks.base_models.registry import BaseModels
from tasks.errors import InvalidRequest
from tasks.requests.named_model import MODEL_ADAPTER, NamedModel


@contextmanager
def refused_as(base_models: BaseModels, model: NamedModel, fields: Mapping[str, str]) -> Iterator[None]:
    """Name the fields of a refusal as this client wrote them, and list the served models if its model is wrong.

    Args:
        fields: the client's names of the fields of ``JobRequest``.

    Raises:
        InvalidRequest: the error of the block, with these names.
    """
    try:
        yield
    except InvalidRequest as error:
        served = ", ".join(model.slug for model in base_models)
        is_model = bool(model.adapters) and error.field == MODEL_ADAPTER
        addition = f" Nor does it name one of the base models served here: {served}." if is_model else ""
        raise error.at(fields.get(error.field or "", error.field), addition) from error


def add_error(response: Response, error: Callable[[Problem], object]) -> Response:
    """Add the member that ``error`` makes of a problem; other responses stay as they are."""
    if response.content_type == CONTENT_TYPE:
        body = response.get_data()
        member = error(Problem.model_validate_json(body))
        response.set_data(json.dumps({**json.loads(body), "error": member}))
    return response
