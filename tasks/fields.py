"""Bases of the models, and types of fields that several of them share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from tasks.errors import RecordNotUnderstood

logger = logging.getLogger(__name__)


def require_number(value: object) -> object:
    """Refuse a boolean or a string; pydantic checks other values.

    Raises:
        PydanticCustomError: it is one.
    """
    if isinstance(value, bool | str):
        raise PydanticCustomError("number", "Input should be a number")
    return value


JSON_NUMBER = BeforeValidator(require_number)
"""Must be last in ``Annotated``: the OpenAPI document would lack anything after it."""


class ImageFormat(StrEnum):
    """The file format of an image."""

    PNG = "png"
    """Lossless, with its manifest inside."""
    JPEG = "jpeg"
    WEBP = "webp"

    @property
    def content_type(self) -> str:
        """Its name in HTTP."""
        return f"image/{self}"


VERSION = 1
"""The highest version of a record that this one understands."""


class Frozen(BaseModel):
    """A value that never changes and has no unknown fields."""

    # A prompt must not reach a log through an error message.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Stored(BaseModel):
    """A value that is read back, perhaps by another version than the one that wrote it.

    Fields of a later version are kept, so that nothing of them is lost when the value is written again.
    """

    model_config = ConfigDict(frozen=True, extra="allow", hide_input_in_errors=True)


class StoredRecord(Stored):
    """A whole record, with the version that a reader must have.

    Raises:
        RecordNotUnderstood: it is of a newer version.
    """

    record_version: int = Field(
        VERSION, description="of the form of this record; a reader that knows only lower ones stops"
    )

    @field_validator("record_version")
    @classmethod
    def _is_known(cls, version: int) -> int:
        if version > VERSION:
            raise RecordNotUnderstood(f"A {cls.__name__} has version {version}, and this process reads {VERSION}.")
        return version


Value = TypeVar("Value", bound=BaseModel)
Form = TypeVar("Form")


def read(kind: type[Value], text: str | bytes, name: str) -> Value:
    """Return a stored value from its JSON.

    Args:
        name: name of the value, to begin a sentence with.

    Raises:
        RecordNotUnderstood: a newer version wrote it, or it is damaged.
    """
    try:
        return kind.model_validate_json(text)
    except (ValidationError, RecordNotUnderstood) as error:
        raise not_understood(name, error) from error


def read_all(kind: type[Value], texts: Mapping[str, str]) -> list[Value]:
    """Return stored values by name, from their JSON, without those that are not understood: the log names these."""
    return understood(lambda name, text: read(kind, text, name), texts)


def understood(make: Callable[[str, Form], Value], stored: Mapping[str, Form]) -> list[Value]:
    """Return the value that ``make`` makes of each name and stored form, without those that it does not understand.

    Args:
        make: raises RecordNotUnderstood for a value of another version or a damaged one; the log names it.
    """
    found: list[Value] = []
    for name, form in stored.items():
        try:
            found.append(make(name, form))
        except RecordNotUnderstood as error:
            logger.error("%s", error)
    return found


def not_understood(name: str, error: ValidationError | RecordNotUnderstood) -> RecordNotUnderstood:
    """Return the error for a record that is not understood, for its client and the log."""
    why = str(error) if isinstance(error, RecordNotUnderstood) else f"{', '.join(places(error))} cannot be read."
    return RecordNotUnderstood(f"{name} was recorded by another version of this service. Try again soon. ({why})")


def places(error: ValidationError) -> Iterable[str]:
    """Return the paths of the wrong fields of a record."""
    return (".".join(map(str, problem["loc"])) for problem in error.errors(include_url=False, include_input=False))
