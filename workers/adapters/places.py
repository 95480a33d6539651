"""Find the rows of the base model that each layer of a file is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch

from tasks.base_models.families import flat
from workers.adapters.converters import Converter
from workers.adapters.module_names import ModuleNames, without_start
from workers.adapters.original_names import FUSED, modules_of, shift_first
from workers.adapters.pieces import Piece, Probe

Shapes = Mapping[str, torch.Size]


class Places:
    """Finds the rows of layers.

    Diffusers' own names go first, then diffusers' converters, then the tables of ``original_names``.

    Args:
        shapes: of the weights of modules, by name with the component in front.
    """

    def __init__(self, names: ModuleNames, converter: Converter, shapes: Shapes) -> None:
        self._names = names
        self._converter = converter
        self._shapes = shapes

    def find(self, layers: Sequence[Probe]) -> dict[str, Sequence[Piece]]:
        """The rows by name of the layer. What has no place in the base is left out."""
        found: dict[str, Sequence[Piece]] = {}
        for layer in layers:
            module = self._names.find(layer.name)
            if module is not None:
                found[layer.name] = [self._whole(module)]
        left = [layer for layer in layers if layer.name not in found]
        if left:
            converted = self._converter.find(left)
            for layer in left:
                pieces = self._sized(layer, converted.get(layer.name, [])) or self._from_tables(layer)
                if pieces:
                    found[layer.name] = pieces
        return found

    def _whole(self, module: str) -> Piece:
        return Piece(module, 0, self._shapes[module][0])

    def _sized(self, layer: Probe, pieces: Sequence[Piece]) -> Sequence[Piece]:
        """Whole modules for a layer that does not say its rows: it has those of all its modules together."""
        if layer.outputs is not None:
            return pieces
        return list(self._one_after_another(piece.module for piece in pieces))

    def _from_tables(self, layer: Probe) -> Sequence[Piece]:
        name = without_start(layer.name)
        for modules in modules_of(name):
            found = [self._names.find(module) for module in modules]
            if None not in found:
                return list(self._one_after_another(module for module in found if module is not None))
        return self._halves(name) or self._third(name, layer.outputs)

    def _one_after_another(self, modules: Iterable[str]) -> Iterable[Piece]:
        start = 0
        for module in modules:
            rows = self._shapes[module][0]
            yield Piece(module, start, start + rows)
            start += rows

    def _halves(self, name: str) -> Sequence[Piece]:
        wanted = shift_first(name)
        module = None if wanted is None else self._names.find(wanted)
        if module is None:
            return []
        rows, inputs = self._shapes[module][:2]
        if rows != 2 * inputs:
            return [self._whole(module)]
        return [Piece(module, inputs, rows, 0), Piece(module, 0, inputs, inputs)]

    def _third(self, name: str, outputs: int | None) -> Sequence[Piece]:
        for part, number, fused in FUSED:
            if outputs is not None and name.endswith(part):
                module = self._names.find(f"lora_unet_{flat(name.removesuffix(part) + fused)}")
                if module is not None and self._shapes[module][0] == 3 * outputs:
                    return [Piece(module, 0, outputs, number * outputs, is_fused=True)]
        return []
