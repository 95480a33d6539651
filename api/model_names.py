"""What a client names as its model: a base model served here, or an adapter, whose base model is found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from tasks.base_models import BaseModels
from tasks.errors import InvalidRequest
from tasks.requests import AdapterRequest

MODEL_ADAPTER = "adapters.0.ref"
"""Where a job request holds an adapter that was named as the model."""


@dataclass(frozen=True)
class NamedModel:
    """A base model by its slug, or an adapter; neither leaves the choice to the service."""

    base_model: str | None = None
    adapters: tuple[AdapterRequest, ...] = ()


def named(base_models: BaseModels, name: str) -> NamedModel:
    """The base model of this slug, id or alias; else the adapter of this reference, which may not exist."""
    if (model := base_models.find(name)) is not None:
        return NamedModel(base_model=model.slug)
    return NamedModel(adapters=(AdapterRequest(ref=name),))


@contextmanager
def refused_as(base_models: BaseModels, model: NamedModel, fields: Mapping[str, str]) -> Iterator[None]:
    """Let a refusal name the fields as this client wrote them, and say of a wrong model what would be a right one.

    Args:
        fields: the client's names of the fields of ``JobRequest``.

    Raises:
        InvalidRequest: the one that was raised, in these words.
    """
    try:
        yield
    except InvalidRequest as error:
        message = str(error)
        if model.adapters and error.field == MODEL_ADAPTER:
            served = ", ".join(model.slug for model in base_models)
            message = f"{message} Nor does it name one of the base models served here: {served}."
        raise type(error)(message, field=fields.get(error.field or "", error.field)) from error
