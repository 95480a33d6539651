"""Numbers as JSON has them: pydantic would take ``true`` and ``"7"`` for numbers, too, and our document does not."""

from __future__ import annotations

from typing import Annotated

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


JsonInteger = Annotated[int, BeforeValidator(require_number)]
"""Also ``20.0``, which JSON does not tell from ``20``."""
JsonNumber = Annotated[float, BeforeValidator(require_number)]
