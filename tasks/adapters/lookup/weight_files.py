"""The file of a repository that is the adapter, where a reference does not say it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from tasks.adapters.file.sidecar import PICKLE_SUFFIXES
from tasks.errors import AdapterNotFound, AdapterNotUsable
from tasks.logs import shortened

DEFAULT_WEIGHT_NAME = "pytorch_lora_weights.safetensors"
"""The name that diffusers gives the file."""
WEIGHTS = ".safetensors"
MAX_LISTED, MAX_PATH = 10, 100

# `<name>_emb` of diffusers' training scripts, `learned_embeds` of textual inversion, `embeddings.pti` of cog-sdxl.
_EMBEDDINGS = re.compile(r"(?:.*[_-])?(?:emb|embeds|embeddings?)")
_EMBEDDING_SUFFIXES = PICKLE_SUFFIXES | {WEIGHTS, ".pti"}
# `-000010` and `-step00000500` of kohya's scripts, `_000000250` of ai-toolkit: the last file has the name alone.
_STEP = re.compile(r"[_-](?:step|epoch|e|s)?[_-]?[0-9]{3,}$")


@dataclass(frozen=True)
class WeightFile:
    """The file that is the adapter.

    Attributes:
        path: within the repository.
        warnings: what its repository holds beside it and a reader would not expect to be left out.
    """

    path: str
    warnings: tuple[str, ...] = ()


def choose_weight_file(repository: str, files: Sequence[str], weight_name: str | None) -> WeightFile:
    """The file that a reference asks for; else diffusers' usual one, the only one of the root, or the only one at all.

    Files that a trainer saved on its way to another one, and learned embeddings, are chosen only where they are named.

    Raises:
        AdapterNotFound: the file that is asked for does not exist.
        AdapterNotUsable: there is no safetensors file, or several of which none goes first.
    """
    weights = sorted((file for file in files if file.endswith(WEIGHTS)), key=depth_and_name)
    if not weights:
        pickles = any(PurePosixPath(file).suffix in PICKLE_SUFFIXES for file in files)
        found = "only pickles, which may run code when loaded" if pickles else "none"
        raise AdapterNotUsable(f"{repository} must hold a safetensors file; it holds {found}.")
    if weight_name is not None and weight_name not in weights:
        raise AdapterNotFound(f"{repository} has no file {weight_name!r}; it has {listed(weights)}.")
    chosen = weight_name or usual_file(repository, weights)
    return WeightFile(chosen, (*choice(weight_name, chosen, weights), *left_embeddings(files, chosen)))


def usual_file(repository: str, weights: Sequence[str]) -> str:
    """The file that goes before all others.

    Raises:
        AdapterNotUsable: several have the same right.
    """
    known = frozenset(weights)
    candidates = [file for file in weights if not is_embeddings(file) and not is_step(file, known)] or [*weights]
    if DEFAULT_WEIGHT_NAME in candidates:
        return DEFAULT_WEIGHT_NAME
    first = [file for file in candidates if "/" not in file] or candidates
    if len(first) > 1:
        raise AdapterNotUsable(
            f"{repository} holds several adapters: {listed(candidates)}. Choose one: {repository}:{first[0]}"
        )
    return first[0]


def depth_and_name(path: str) -> tuple[bool, int, str]:
    """Order files as an example is chosen of them: training checkpoints last, those near the root first."""
    folders = PurePosixPath(path).parts[:-1]
    return any(folder.startswith("checkpoint") for folder in folders), len(folders), path


def is_embeddings(path: str) -> bool:
    """Return whether a file holds learned embeddings, by its name."""
    name = PurePosixPath(path)
    return name.suffix in _EMBEDDING_SUFFIXES and _EMBEDDINGS.fullmatch(name.stem.lower()) is not None


def is_step(path: str, weights: frozenset[str]) -> bool:
    """Return whether a file was saved on the way to another one that is there too."""
    name = path.removesuffix(WEIGHTS)
    step = _STEP.search(name)
    return step is not None and f"{name[: step.start()]}{WEIGHTS}" in weights


def choice(asked: str | None, chosen: str, weights: Sequence[str]) -> tuple[str, ...]:
    """The warning that there were several files to choose from, where there were."""
    others = [file for file in weights if file != chosen and not is_embeddings(file)]
    if asked is not None or not others:
        return ()
    return (f"Of {len(others) + 1} weight files of its repository, {chosen} is used; the others: {listed(others)}.",)


def left_embeddings(files: Sequence[str], chosen: str) -> tuple[str, ...]:
    """The warning that embeddings lie beside the adapter, where they do."""
    embeddings = sorted(file for file in files if file != chosen and is_embeddings(file))
    if not embeddings:
        return ()
    return (
        f"Its repository holds learned embeddings, which are not loaded: {listed(embeddings)}. Trigger words that were "
        "trained as new tokens have no effect.",
    )


def listed(files: Sequence[str]) -> str:
    """The first files, in a sentence."""
    rest = f" and {len(files) - MAX_LISTED} more" if len(files) > MAX_LISTED else ""
    return ", ".join(shortened(file, MAX_PATH) for file in files[:MAX_LISTED]) + rest
