"""A member ``error`` in problem documents, where clients of other APIs look for it; RFC 9457 allows further members."""

from __future__ import annotations

import json
from collections.abc import Callable

from flask import Response

from api.http.problems import CONTENT_TYPE, Problem


def add_error(response: Response, error: Callable[[Problem], object]) -> Response:
    """Add what ``error`` makes of the problem; an answer that is no problem stays as it is."""
    if response.content_type == CONTENT_TYPE:
        body = response.get_data()
        member = error(Problem.model_validate_json(body))
        response.set_data(json.dumps({**json.loads(body), "error": member}))
    return response
