"""Numbers as JSON has them: pydantic would take ``true`` and ``"7"`` for numbers, too, and our document does not."""

from __future__ import annotations

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError


def require_number(value: object) -> object:
    """Let through what is no boolean and no string; pydantic judges the rest.

    Raises:
        PydanticCustomError: it is one.
    """
    if isinstance(value, bool | str):
        raise PydanticCustomError("number", "Input should be a number")
    return value


JSON_NUMBER = BeforeValidator(require_number)
"""Stands last in ``Annotated``: what stands after it would miss in the OpenAPI document."""
