"""The base models served: ``models.toml``, read once and checked at start."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tasks.errors import BaseModelNotServed, ConfigurationError


class Dtype(StrEnum):
    """Precision of the weights, named as torch names it."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"


class Scheduler(StrEnum):
    """Samplers that a request may ask for, by their usual short names."""

    DDIM = "ddim"
    DPM_SOLVER = "dpm++"
    EULER = "euler"
    EULER_ANCESTRAL = "euler_a"
    UNIPC = "unipc"


class Pristine(StrEnum):
    """The place of the pristine copies of changed weights."""

    DEVICE = "device"
    """Beside the weights: the fastest swap, and up to twice the device memory of the denoiser."""
    HOST = "host"
    """In host memory: no device memory, and each swap copies the changed weights over."""


class Defaults(BaseModel):
    """Defaults for fields that a request leaves out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(gt=0, description="pixels")
    height: int = Field(gt=0, description="pixels")
    steps: int = Field(gt=0)
    guidance_scale: float = Field(ge=0)


class Limits(BaseModel):
    """The most that a request may ask of this base."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_side: int = Field(gt=0, description="pixels")
    max_side: int = Field(gt=0, description="pixels")
    multiple_of: int = Field(gt=0, description="width and height are multiples of this")
    max_steps: int = Field(100, gt=0)
    max_adapters: int = Field(4, ge=0)
    max_clip_skip: int = Field(0, ge=0, description="largest `clip_skip` of a request; 0 if the model takes none")


class ServedModel(BaseModel):
    """One base model: where its weights are, how they are loaded, what may be asked of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slug: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,31}$", description="short name; its queue is `base.<slug>`")
    model: str = Field(min_length=1, description="repository on the Hub, or a folder in diffusers' format")
    aliases: tuple[str, ...] = Field(
        (), description="other repositories with the same weights, and what trainers call them"
    )
    revision: str | None = Field(None, description="commit, tag or branch of `model`")
    pipeline_class: str | None = Field(
        None, description="a pipeline class of diffusers; by default the one that the model names"
    )
    dtype: Dtype = Dtype.BFLOAT16
    variant: str | None = Field(None, description="variant of the weight files, e.g. `fp16`")
    vae: str | None = Field(None, description="repository of a VAE that replaces the model's own")
    schedulers: tuple[Scheduler, ...] = Field(tuple(Scheduler), description="schedulers that a request may choose")
    pristine: Pristine = Pristine.DEVICE
    compile: bool = Field(False, description="`torch.compile` the denoiser; swaps do not recompile it")
    attention_slicing: bool = Field(False, description="less device memory, slower drawing")
    vae_tiling: bool = Field(False, description="decode in tiles: large images on small devices")
    max_batch: int = Field(
        1, gt=0, description="lines of a backfill drawn in one pass; `python -m benchmarks.microbatch` says what pays"
    )
    safety_checker: bool = Field(False, description="run the pipeline's safety checker, where it has one")
    defaults: Defaults
    limits: Limits

    @model_validator(mode="after")
    def _defaults_within_limits(self) -> Self:
        for side in (self.defaults.width, self.defaults.height):
            if not self.limits.min_side <= side <= self.limits.max_side or side % self.limits.multiple_of:
                raise ValueError(f"default side {side} is outside this model's limits")
        if self.defaults.steps > self.limits.max_steps:
            raise ValueError(f"default steps {self.defaults.steps} are over max_steps {self.limits.max_steps}")
        return self

    @property
    def names(self) -> frozenset[str]:
        """Every name under which an adapter's card or a request may mean this model."""
        return frozenset({self.slug, self.model, *self.aliases})


class ModelsFile(BaseModel):
    """The whole of ``models.toml``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: tuple[ServedModel, ...] = Field(min_length=1)


@dataclass(frozen=True)
class BaseModels:
    """The base models served, in the order of ``models.toml``."""

    models: tuple[ServedModel, ...]

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self.models)

    @property
    def default(self) -> ServedModel:
        """The model of a request that names neither a base model nor an adapter."""
        return self.models[0]

    def find(self, *names: str) -> ServedModel | None:
        """The model of the first of these slugs, ids and aliases that is known, in any case of its letters."""
        known = {name.casefold(): model for model in self.models for name in model.names}
        return next((known[name.casefold()] for name in names if name.casefold() in known), None)

    def named(self, name: str) -> ServedModel:
        """The model of this slug, id or alias.

        Raises:
            BaseModelNotServed: there is none; the message lists those that are served.
        """
        model = self.find(name)
        if model is None:
            served = ", ".join(sorted(model.slug for model in self.models))
            raise BaseModelNotServed(
                f"Base model {name!r} is not served here. Choose one of: {served}.", field="base_model"
            )
        return model


def read_base_models(path: Path) -> BaseModels:
    """Read and check ``models.toml``.

    Raises:
        ConfigurationError: the file is missing, is not valid TOML, or a value is wrong or given twice.
    """
    try:
        models = ModelsFile.model_validate(tomllib.loads(path.read_text("utf-8"))).base
    except OSError as error:
        raise ConfigurationError(f"Cannot read {path}: {error.strerror}. Set STOKEHOLD_MODELS_FILE.") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}.") from error
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in error.errors(include_url=False)
        )
        raise ConfigurationError(f"{path}: {problems}") from error
    names = [name.casefold() for model in models for name in model.names]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigurationError(f"{path}: {', '.join(twice)} names more than one base model.")
    return BaseModels(models)
