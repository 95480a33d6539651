"""The shapes of base models: the modules that an adapter may change, and their shapes.

stokehold:shapes:<slug>   string  the report of the latest worker that has loaded the base model; expires

A worker reports the shapes when it has loaded its base model, and keeps them from expiring. The API judges adapters by
them.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from functools import cached_property
from threading import Lock
from typing import cast

from cachetools import TTLCache
from pydantic import Field

from tasks.adapters.file.safetensors import Shape
from tasks.base_models.families import Family, family_of
from tasks.base_models.registry import ServedModel
from tasks.fields import Stored, StoredRecord, read
from tasks.valkey import Valkey

KEEP_S = 30 * 86_400
"""Seconds after the last sign of a worker."""
CACHED_S = 10.0
MAX_CACHED = 64

UNET = "unet"


class ModuleShape(Stored):
    """A linear layer or a convolution that an adapter may change."""

    name: str = Field(description="with the component in front")
    other_names: tuple[str, ...] = Field(description="how files of other formats name it")
    shape: Shape = Field(description="of its weight: outputs, inputs, and a convolution's window")

    @property
    def outputs(self) -> int:
        return self.shape[0]

    @property
    def inputs(self) -> int:
        return self.shape[1]


class BaseShapes(StoredRecord):
    """The modules of a base model."""

    model: str = Field(description="repository or folder that was loaded, as models.toml had it")
    revision: str | None = None
    components: tuple[str, ...]
    modules: tuple[ModuleShape, ...]

    @cached_property
    def by_name(self) -> dict[str, ModuleShape]:
        """The modules by every name that a file may give them."""
        named = {name: module for module in self.modules for name in module.other_names}
        return named | {module.name: module for module in self.modules}

    @cached_property
    def digest(self) -> str:
        """A digest of all shapes."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @cached_property
    def family(self) -> Family | None:
        return family_of((module.name, module.inputs) for module in self.modules)

    @property
    def has_unet(self) -> bool:
        return UNET in self.components

    def is_of(self, model: ServedModel) -> bool:
        """Return whether these are shapes of the model that ``models.toml`` has now."""
        return (self.model, self.revision) == (model.model, model.revision)


class ShapeStore:
    """The shapes of every base model, in Valkey or Redis. Thread-safe."""

    def __init__(self, valkey: Valkey, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Ask the server again after ``CACHED_S`` seconds of ``clock``."""
        self._valkey = valkey
        self._cached: TTLCache[str, BaseShapes | None] = TTLCache(MAX_CACHED, CACHED_S, clock)
        self._lock = Lock()

    def publish(self, slug: str, shapes: BaseShapes) -> None:
        """Report the shapes of a base model, in place of those reported before."""
        self._valkey.set(_key(slug), shapes.model_dump_json(), ex=KEEP_S)

    def keep(self, slug: str, shapes: BaseShapes) -> None:
        """Keep the reported shapes for longer; report them again if they were lost."""
        if not self._valkey.expire(_key(slug), KEEP_S):
            self.publish(slug, shapes)

    def of(self, model: ServedModel) -> BaseShapes | None:
        """Return the shapes of a base model; None if no worker has reported them."""
        with self._lock:
            if model.slug in self._cached:
                return self._cached[model.slug]
        told = cast(str | None, self._valkey.get(_key(model.slug)))
        shapes = None if told is None else read(BaseShapes, told, f"The shapes of base model {model.slug}")
        if shapes is not None and not shapes.is_of(model):
            shapes = None
        with self._lock:
            self._cached[model.slug] = shapes
        return shapes


def _key(slug: str) -> str:
    return f"stokehold:shapes:{slug}"
