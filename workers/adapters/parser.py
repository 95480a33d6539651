"""From an adapter's file to the changes that the merge engine makes.

The file is the truth: its own tensors, alphas and metadata say what is done to a weight. Of diffusers this takes only
the names of layers (``converters``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from tasks.errors import AdapterLoadFailed, AdapterUnavailable, AdapterWithoutEffect
from workers.adapters.file_layers import FileLayer, Kind, group
from workers.adapters.formats import MAGNITUDES, outputs
from workers.adapters.layer_changes import LayerReader
from workers.adapters.left_over import (
    DOUBLED,
    TWICE,
    reason_of_placeless,
    reason_of_unknown,
    reason_of_unused,
    refuse_other_things,
)
from workers.adapters.module_names import is_of_text_encoder
from workers.adapters.pieces import Probe
from workers.adapters.refusal import Refused
from workers.adapters.scales import Scales
from workers.adapters.shell import LoaderShell
from workers.base.device import first_line
from workers.swap.changes import Change
from workers.swap.parsed_adapter import Allocate, ParsedAdapter, Strength, private_block

Tensors = Mapping[str, torch.Tensor]


def parse_adapter(
    shell: LoaderShell,
    path: Path,
    ref: str,
    config: Mapping[str, object] | None = None,
    allocate: Allocate = private_block,
) -> ParsedAdapter:
    """Read an adapter's file for the pipeline of this shell.

    Args:
        config: PEFT's ``adapter_config.json``, if it stands beside the file.
        allocate: returns the block of memory that its tensors are put into.

    Raises:
        AdapterLoadFailed: the file is broken, was made for another base model, or has values that are not numbers.
        AdapterUnavailable: this machine cannot read it.
    """
    try:
        tensors, metadata = read_file(path)
    except SafetensorError as error:
        raise AdapterLoadFailed(f"The file of adapter {ref!r} is broken: {first_line(error)}") from error
    except OSError as error:
        raise AdapterUnavailable(f"The worker cannot read the file of adapter {ref!r}. Submit again.") from error
    try:
        refuse_other_things(tensors)
        reading = read_layers(shell, tensors, Scales(metadata, config))
    except Refused as reason:
        raise AdapterLoadFailed(f"Adapter {ref!r} {reason}") from reason
    if not reading.changes:
        raise AdapterWithoutEffect(
            f"Adapter {ref!r} was not made for this base model: "
            + next((f"none of its keys has a place in it, such as {key}." for key in reading.unmatched), "it is empty.")
        )
    parsed = ParsedAdapter.packed(reading.changes, shell.dtypes, allocate)
    if (name := parsed.not_finite()) is not None:
        raise AdapterLoadFailed(
            f"Adapter {ref!r} has values that are not finite numbers, in {name}. Train or export it again."
        )
    return replace(parsed, unmatched=reading.unmatched, strength=reading.strength)


def read_file(path: Path) -> tuple[Tensors, Mapping[str, str]]:
    """The tensors and the metadata of a safetensors file.

    Raises:
        SafetensorError: it is broken.
        OSError: it cannot be read.
    """
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118


@dataclass(frozen=True)
class Reading:
    """The meaning of a file for a pipeline.

    Attributes:
        changes: by name of the weight.
        unmatched: the keys that change nothing, and why.
    """

    changes: Mapping[str, tuple[Change, ...]]
    unmatched: Mapping[str, str]
    strength: Strength | None


def read_layers(shell: LoaderShell, tensors: Tensors, scales: Scales) -> Reading:
    """Find what the tensors of a file change.

    Raises:
        Refused: the file was not made for this base model, or is not understood.
    """
    grouping = group(tensors)
    parts = {layer.name: {kind: tensors[key] for kind, key in layer.keys.items()} for layer in grouping.layers}
    places = shell.places.find([Probe(name, outputs(own)) for name, own in parts.items()])
    refuse_foreign(grouping.layers, places)
    has_magnitudes = any(MAGNITUDES & own.keys() for own in parts.values())
    reader = LayerReader(shell, scales, has_magnitudes=has_magnitudes)
    unmatched = {key: reason_of_unknown(key) for key in grouping.unknown} | dict.fromkeys(grouping.doubled, DOUBLED)
    for layer in grouping.layers:
        pieces = places.get(layer.name)
        if pieces is None:
            unmatched.update(dict.fromkeys(layer.keys.values(), reason_of_placeless(layer.name)))
        elif reader.has(pieces):
            unmatched.update(dict.fromkeys(layer.keys.values(), TWICE))
        else:
            used = reader.read(parts[layer.name], pieces)
            unmatched.update({key: reason_of_unused(kind) for kind, key in layer.keys.items() if kind not in used})
    changes = {name: tuple(several) for name, several in reader.changes.items()}
    return Reading(changes, unmatched, strength_of(reader))


def strength_of(reader: LayerReader) -> Strength | None:
    """The strengths that were read; None for a file whose formats have none."""
    if not reader.scales:
        return None
    return Strength(min(reader.scales), max(reader.scales), tuple(sorted(reader.alphas_from)))


def refuse_foreign(layers: tuple[FileLayer, ...], places: Mapping[str, object]) -> None:
    """See that most layers of the denoiser are of this base model: of another the names of some may be the same.

    Raises:
        Refused: they are not.
    """
    own = [layer for layer in layers if not is_of_text_encoder(layer.name) and layer.keys.keys() != {Kind.ALPHA}]
    foreign = [layer for layer in own if layer.name not in places]
    if places and 2 * len(foreign) > len(own):
        raise Refused(
            f"was not made for this base model: {len(own) - len(foreign)} of its layers fit, and {len(foreign)} do "
            f"not, such as {next(iter(foreign[0].keys.values()))}."
        )
