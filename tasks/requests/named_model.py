"""The model that a client names: a base model served here, or an adapter, whose base model is found."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.base_models.registry import BaseModels
from tasks.requests.job import AdapterRequest

MODEL_ADAPTER = "adapters.0.ref"
"""Path, in a job request, of an adapter that was named as the model."""


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
