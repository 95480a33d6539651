"""The reasons why tensors of an adapter's file change nothing, or why the file is not an adapter of weights."""

from __future__ import annotations

import re
from collections.abc import Iterable

from workers.adapters.file_layers import Kind
from workers.adapters.module_names import is_of_text_encoder
from workers.adapters.refusal import Refused

DOUBLED = "another tensor of the file has this meaning already"
TWICE = "the file has this layer twice, under two names"

_EMBEDDING = re.compile(r"^(bundle_emb\..*|emb_params|clip_[lg]|t5(xxl)?|<.*>|.*string_to_param.*)$")
_GLORA = re.compile(r"\.[ab][12]$")
_OTHER_THINGS = (
    (re.compile(r"^(ip_adapter|image_proj)\b|\.to_[kv]_ip\b"), "an IP-Adapter, which needs an image of its own"),
    (re.compile(r"^(lora_controlnet|controlnet_)"), "a ControlNet, which needs an image of its own"),
)


def refuse_other_things(keys: Iterable[str]) -> None:
    """See that the file is none of those that are shared like adapters, and are no changes of weights.

    Raises:
        Refused: it is one.
    """
    for key in keys:
        for pattern, description in _OTHER_THINGS:
            if pattern.search(key):
                raise Refused(f"is {description}: it holds {key[:200]}. An adapter changes weights of the base model.")


def reason_of_unknown(key: str) -> str:
    """Return why a tensor of no known kind changes nothing."""
    if _EMBEDDING.match(key):
        return "an embedding of pivotal tuning, which is not loaded"
    return "it is of no kind that is read here"


def reason_of_placeless(layer: str) -> str:
    """Return why a layer that was not found changes nothing."""
    if _EMBEDDING.match(layer):
        return "an embedding of pivotal tuning, which is not loaded"
    if _GLORA.search(layer):
        return "GLoRA is not read here"
    if is_of_text_encoder(layer):
        return "no text encoder of this base model that takes adapters has a layer of this name"
    return "this base model has no layer of this name"


def reason_of_unused(kind: Kind) -> str:
    """Return why a tensor changes nothing whose layer was found."""
    if kind in (Kind.WHOLE, Kind.WHOLE_BIAS):
        return "a whole weight of a model, and no change of one"
    return f"the layer has nothing beside it that {kind} belongs to"
