"""The module of a pipeline that a name in an adapter's file means.

Only diffusers' own module names are known here, in every way that files write them: with another start, flattened as
kohya does it, or as diffusers itself once had them. Names of a model's first implementation are for ``converters``
and ``original_names``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tasks.base_models.families import flat

TEXT = "text_encoder"
TEXT_MODEL = "text_model."
"""Stands in front of the modules of some CLIP text encoders, and has been lost by others."""
DENOISER_STARTS = ("diffusion_model.", "model.diffusion_model.", "base_model.model.", "transformer.", "unet.", "")
"""What stands in front of a denoiser's module names: ComfyUI, PEFT, diffusers, nothing."""
DENOISER_FLAT_STARTS = ("lora_unet_", "lora_transformer_", "lycoris_", "oft_unet_", "oft_transformer_", "boft_unet_")
"""The same in front of flattened names: sd-scripts, OneTrainer, LyCORIS."""
ENCODER_STARTS: Mapping[str, tuple[str, ...]] = {
    "text_encoders.clip_l.transformer.": ("text_encoder",),
    "text_encoders.clip_g.transformer.": ("text_encoder_2",),
    "text_encoders.t5xxl.transformer.": ("text_encoder_3", "text_encoder_2", "text_encoder"),
    "clip_l.": ("text_encoder",),
    "clip_g.": ("text_encoder_2",),
    "t5xxl.": ("text_encoder_3", "text_encoder_2", "text_encoder"),
}
"""ComfyUI's names of text encoders, and the components that they may be."""
ENCODER_FLAT_STARTS: Mapping[str, tuple[str, ...]] = {
    f"{trainer}_{number}_": components
    for trainer in ("lora", "oft", "lycoris")
    for number, components in {
        "te": ("text_encoder",),
        "te1": ("text_encoder",),
        "te2": ("text_encoder_2",),
        "te3": ("text_encoder_3", "text_encoder_2"),  # sd-scripts counts FLUX's T5 as the third
    }.items()
}
"""The same of sd-scripts and OneTrainer."""
OLD_ENDINGS = {
    "to_q_lora": ("to_q", "q_proj"),
    "to_k_lora": ("to_k", "k_proj"),
    "to_v_lora": ("to_v", "v_proj"),
    "to_out_lora": ("to_out.0", "out_proj"),
}
"""diffusers' names for the layers of an attention processor, before PEFT."""


class ModuleNames:
    """Finds modules by name.

    Args:
        modules: those of each component, by name.
    """

    def __init__(self, modules: Mapping[str, Mapping[str, Any]]) -> None:
        self._dotted = {component: spelled(component, names) for component, names in modules.items()}
        self._flat = {
            component: {flat(name): module for name, module in names.items()}
            for component, names in self._dotted.items()
        }
        self._starts = tuple(starts(tuple(modules)))

    def find(self, name: str) -> str | None:
        """The module's name, with its component in front; None if there is none of this name."""
        for start, components, is_flat in self._starts:
            if name.startswith(start):
                rest = name[len(start) :]
                for component in components:
                    found = self._within(component, rest, is_flat=is_flat)
                    if found is not None:
                        return f"{component}.{found}"
        return None

    def _within(self, component: str, rest: str, *, is_flat: bool) -> str | None:
        if is_flat:
            return self._flat[component].get(flat(rest))
        names = self._dotted[component]
        return next((names[candidate] for candidate in candidates(rest) if candidate in names), None)


def spelled(component: str, modules: Mapping[str, Any]) -> dict[str, str]:
    """The names of the modules that have a weight, in each spelling."""
    names = {name: name for name, module in modules.items() if module._parameters.get("weight") is not None}
    if component.startswith(TEXT):
        for name in tuple(names):
            other = name.removeprefix(TEXT_MODEL) if name.startswith(TEXT_MODEL) else f"{TEXT_MODEL}{name}"
            names.setdefault(other, name)
    return names


def starts(components: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...], bool]]:
    """What names begin with, the components that they may then be of, and whether the rest is flattened."""
    for component in components:
        yield f"{component}.", (component,), False
    for table, is_flat in ((ENCODER_STARTS, False), (ENCODER_FLAT_STARTS, True)):
        for start, possible in table.items():
            yield start, tuple(component for component in possible if component in components), is_flat
    denoisers = tuple(component for component in components if not component.startswith(TEXT))
    for start in DENOISER_FLAT_STARTS:
        yield start, denoisers, True
    for start in DENOISER_STARTS:
        yield start, denoisers, False


def candidates(name: str) -> Iterator[str]:
    """What a dotted name may be called now."""
    yield name
    yield f"{name}.0"  # an attention's `to_out` is a list with the layer in it
    block, _, last = name.replace(".processor.", ".").rpartition(".")
    for ending in OLD_ENDINGS.get(last, ()):
        yield f"{block}.{ending}"


def without_start(name: str) -> str:
    """A denoiser's name of a layer without what formats put in front of it."""
    for start in (*DENOISER_FLAT_STARTS, *DENOISER_STARTS):
        if name.startswith(start):
            return name[len(start) :]
    return name


def is_of_text_encoder(name: str) -> bool:
    """Return whether a format means a layer of a text encoder by this name."""
    return name.startswith((TEXT, *ENCODER_STARTS, *ENCODER_FLAT_STARTS))
