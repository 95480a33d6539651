"""What the models of a query or of headers have in common."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from pydantic import BaseModel


class Parameters(BaseModel):
    """Base of such models: its JSON schema is made once.

    flask-openapi3 asks for the schema at every request, to tell lists from single values, and pydantic makes it anew
    each time; that alone took four tenths of a poll.
    """

    @classmethod
    def model_json_schema(cls, *arguments: Any, **options: Any) -> dict[str, Any]:
        """As pydantic makes it. Shared: not to be changed."""
        return made_once(super().model_json_schema, *arguments, **options)


@cache
def made_once(make: Callable[..., dict[str, Any]], *arguments: Any, **options: Any) -> dict[str, Any]:
    """What ``make`` gives for these arguments the first time."""
    return make(*arguments, **options)
