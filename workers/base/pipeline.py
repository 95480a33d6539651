"""Load a base model's diffusers pipeline, once, and keep it warm."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from typing import Any

import diffusers
import torch
from diffusers import AutoencoderKL, DiffusionPipeline
from diffusers.loaders.lora_base import LoraBaseMixin
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from tasks.base_models.registry import ServedModel
from tasks.errors import ConfigurationError

logger = logging.getLogger(__name__)

CLIP_TEXT_ENCODERS = (CLIPTextModel, CLIPTextModelWithProjection)


def load_pipeline(model: ServedModel, device: torch.device) -> DiffusionPipeline:
    """Load the pipeline of a base model onto the device.

    Only safetensors are read: a pickle can run code.

    Raises:
        ConfigurationError: the model cannot be found or loaded, takes no LoRA, or skips fewer layers than its limits
            allow; the message says what to change.
    """
    dtype = getattr(torch, model.dtype)
    pipeline_class = find_pipeline_class(model)
    try:
        pipeline = pipeline_class.from_pretrained(
            model.model,
            revision=model.revision,
            variant=model.variant,
            dtype=dtype,
            use_safetensors=True,
            **replaced_components(model, pipeline_class, dtype),
        )
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"Cannot load base model {model.slug!r} from {model.model!r}: {error} "
            "Check `model`, `revision`, `variant` and `vae` of its entry in models.toml, and HF_TOKEN for gated models."
        ) from error
    if not isinstance(pipeline, LoraBaseMixin):
        raise ConfigurationError(
            f"{type(pipeline).__name__} of base model {model.slug!r} takes no LoRA; set its `pipeline_class`."
        )
    check_clip_skip(pipeline, model)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.to(device)
    adjust(pipeline, model)
    return pipeline


def adjust(pipeline: Any, model: ServedModel) -> None:
    """Adjust speed and memory as the model's entry says."""
    if model.attention_slicing:
        pipeline.enable_attention_slicing()
    if model.vae_tiling:
        pipeline.vae.enable_tiling()
    if model.compile:
        denoiser_of(pipeline).compile()


def fix_device(pipeline: Any) -> None:
    """Let the pipeline remember its device.

    diffusers looks for it anew at each drawing: it asks every module of every component whether it is offloaded, which
    takes 7 ms of the 60 that the smallest drawing of the demo's base takes.
    """
    kind, device = type(pipeline), pipeline.device
    here = property(lambda _: device)
    pipeline.__class__ = type(kind.__name__, (kind,), {"device": here, "_execution_device": here})


def loadable_components(pipeline: Any) -> dict[str, torch.nn.Module]:
    """Return the components that an adapter may change, by name."""
    names = pipeline._lora_loadable_modules
    return {name: module for name in names if (module := getattr(pipeline, name, None)) is not None}


def weights_of(components: Mapping[str, torch.nn.Module]) -> dict[str, torch.Tensor]:
    """The weights of these components, by name with the component in front (``unet.conv_in.weight``)."""
    return {
        f"{component}.{name}": parameter.detach()
        for component, module in components.items()
        for name, parameter in module.named_parameters()
    }


def check_clip_skip(pipeline: Any, model: ServedModel) -> None:
    """Check that the pipeline can skip as many layers as a request may ask for.

    Raises:
        ConfigurationError: it cannot.
    """
    possible = max_clip_skip(pipeline)
    if model.limits.max_clip_skip > possible:
        raise ConfigurationError(
            f"{type(pipeline).__name__} of base model {model.slug!r} can skip {possible} layers of its text encoder; "
            f"set its `max_clip_skip` to no more."
        )


def max_clip_skip(pipeline: Any) -> int:
    """Return how many layers the pipeline can skip: fewer than the smallest of its CLIP text encoders has."""
    encoders = [part for part in pipeline.components.values() if isinstance(part, CLIP_TEXT_ENCODERS)]
    if not encoders or "clip_skip" not in inspect.signature(type(pipeline).__call__).parameters:
        return 0
    return min(int(encoder.config.num_hidden_layers) for encoder in encoders) - 1


class TextEncoder:
    """A text encoder inside ``text_model``, where diffusers looks for it to skip layers.

    transformers 5.6 took this level away (https://github.com/huggingface/diffusers/issues/14124). The encoder itself
    must not get it back: from it diffusers infers the form of an adapter's keys. Nor may it be copied: the layers of
    each copy would record their states once more.
    """

    def __init__(self, encoder: Any) -> None:
        self.text_model = encoder

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Encode, as the encoder does."""
        return self.text_model(*arguments, **options)

    def __getattr__(self, name: str) -> Any:
        """Return any other attribute of the encoder."""
        return getattr(self.text_model, name)


def show_text_model(pipeline: Any) -> None:
    """Let a pipeline skip layers of a text encoder that has lost its ``text_model``."""
    if isinstance(pipeline.text_encoder, CLIPTextModel) and not hasattr(pipeline.text_encoder, "text_model"):
        pipeline.__dict__["text_encoder"] = TextEncoder(pipeline.text_encoder)  # not as a component, which it is not


def denoiser_of(pipeline: Any) -> Any:
    """Return the component that runs at each step."""
    return next(module for name in ("unet", "transformer") if (module := getattr(pipeline, name, None)) is not None)


def find_pipeline_class(model: ServedModel) -> Any:
    """The class that `models.toml` names, or ``DiffusionPipeline``, which takes the class that the model names.

    Raises:
        ConfigurationError: diffusers has no such class.
    """
    if model.pipeline_class is None:
        return DiffusionPipeline
    found = getattr(diffusers, model.pipeline_class, None)
    if found is None:
        raise ConfigurationError(
            f"Base model {model.slug!r}: diffusers {diffusers.__version__} has no {model.pipeline_class!r}."
        )
    return found


def replaced_components(model: ServedModel, pipeline_class: Any, dtype: torch.dtype) -> dict[str, Any]:
    """Components given to ``from_pretrained`` in place of the model's own: another VAE, no safety checker."""
    components: dict[str, Any] = {}
    if model.vae is not None:
        components["vae"] = AutoencoderKL.from_pretrained(model.vae, dtype=dtype, use_safetensors=True)
    if not model.safety_checker and "safety_checker" in pipeline_class.load_config(
        model.model, revision=model.revision
    ):
        components["safety_checker"] = None
    return components
