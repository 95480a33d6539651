"""Fields of another API that cannot be honoured here: refused with a reason, and documented with it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError, ValidatorFunctionWrapHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


@dataclass(frozen=True)
class NoCounterpart:
    """Annotates a field: a value that its type does not allow is refused with this sentence."""

    reason: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "description": f"Anything else is refused: {self.reason}"}

    def check(self, value: object, inner: ValidatorFunctionWrapHandler) -> Any:
        """Validate, with our own sentence in the error.

        Raises:
            PydanticCustomError: the field's type does not allow the value.
        """
        with suppress(ValidationError):
            allowed = inner(value)
            if type(allowed) is type(value):  # to pydantic 0 is False
                return allowed
        raise PydanticCustomError("no_counterpart", "{reason}", {"reason": self.reason})
