"""From an adapter's file to the changes that the merge engine makes.

The file is the truth: its own tensors, alphas and metadata say what is done to a weight. Of diffusers this takes only
the names of layers (``converters``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from tasks.errors import AdapterLoadFailed, AdapterUnavailable, AdapterWithoutEffect
from workers.adapters.file_layers import FileLayer, Kind, group
from workers.adapters.formats import outputs
from workers.adapters.layer_changes import LayerReader
from workers.adapters.module_names import is_of_text_encoder
from workers.adapters.pieces import Probe
from workers.adapters.refusal import Refused
from workers.adapters.scales import Scales
from workers.adapters.shell import LoaderShell
from workers.base.device import first_line
from workers.swap.changes import Change
from workers.swap.parsed_adapter import ParsedAdapter

Tensors = Mapping[str, torch.Tensor]


def parse_adapter(
    shell: LoaderShell, path: Path, ref: str, config: Mapping[str, object] | None = None
) -> ParsedAdapter:
    """Read an adapter's file for the pipeline of this shell.

    Args:
        config: PEFT's ``adapter_config.json``, if it stands beside the file.

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
        changes, unmatched = changes_of(shell, tensors, Scales(metadata, config))
    except Refused as reason:
        raise AdapterLoadFailed(f"Adapter {ref!r} {reason}") from reason
    if not changes:
        raise AdapterWithoutEffect(
            f"Adapter {ref!r} was not made for this base model: "
            + (f"none of its keys has a place in it, such as {unmatched[0]}." if unmatched else "it is empty.")
        )
    parsed = ParsedAdapter.packed(changes, shell.dtypes, unmatched, pinned=shell.device.type == "cuda")
    if (name := parsed.not_finite()) is not None:
        raise AdapterLoadFailed(
            f"Adapter {ref!r} has values that are not finite numbers, in {name}. Train or export it again."
        )
    return parsed


def read_file(path: Path) -> tuple[Tensors, Mapping[str, str]]:
    """The tensors and the metadata of a safetensors file.

    Raises:
        SafetensorError: it is broken.
        OSError: it cannot be read.
    """
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118


def changes_of(
    shell: LoaderShell, tensors: Tensors, scales: Scales
) -> tuple[Mapping[str, tuple[Change, ...]], tuple[str, ...]]:
    """What the tensors of a file change, by name of the weight, and the keys that change nothing.

    Raises:
        Refused: the file was not made for this base model, or is not understood.
    """
    grouping = group(tensors)
    parts = {layer.name: {kind: tensors[key] for kind, key in layer.keys.items()} for layer in grouping.layers}
    places = shell.places.find([Probe(name, outputs(own)) for name, own in parts.items()])
    reader = LayerReader(shell, scales)
    unmatched = [*grouping.unknown, *grouping.doubled]
    for layer in grouping.layers:
        pieces = places.get(layer.name)
        used = frozenset() if pieces is None else reader.read(parts[layer.name], pieces)
        unmatched.extend(key for kind, key in layer.keys.items() if kind not in used)
    refuse_foreign(grouping.layers, places)
    return {name: tuple(several) for name, several in reader.changes.items()}, tuple(unmatched)


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
