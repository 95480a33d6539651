"""Adapters on the model hub: what a repository says of itself, and which of its files is the adapter.

Resolved as "Goodbye cold boot - how we made LoRA Inference 300% faster" (Hugging Face, December 2023) does it: the
repository must be tagged ``lora`` and name its ``base_model``, and that base model must be served.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

import httpx2
from huggingface_hub import HfApi, ModelInfo
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tasks.adapter_description import PICKLE_SUFFIXES
from tasks.adapter_reference import AdapterReference
from tasks.adapters import AdapterSource, ResolvedAdapter
from tasks.base_models import BaseModels, ServedModel
from tasks.errors import AdapterNotFound, AdapterNotUsable, HubUnavailable, StokeholdError

LORA_TAG = "lora"
BASE_MODEL_TAG = "base_model:adapter:"
DEFAULT_WEIGHT_NAME = "pytorch_lora_weights.safetensors"
"""The name that diffusers gives the file."""


class AdapterHub:
    """Resolves references to adapters on the Hub. Thread-safe: it keeps nothing."""

    def __init__(self, base_models: BaseModels, *, api: HfApi | None = None, timeout_s: float = 5.0) -> None:
        """Ask the Hub that ``api`` talks to; None means ``HF_ENDPOINT`` with ``HF_TOKEN``, as its client reads them.

        Args:
            timeout_s: seconds to wait for a connection, and for each part of the answer. The client does not try again.
        """
        self._base_models = base_models
        self._api = api or HfApi()
        self._timeout_s = timeout_s

    def resolve(self, reference: AdapterReference) -> ResolvedAdapter:
        """Pin an adapter on the Hub to the commit that its revision stands for now.

        Raises:
            AdapterNotFound: there is no such public repository, revision or file.
            AdapterNotUsable: it is gated, no LoRA, without safetensors, or for a base model not served.
            HubUnavailable: the Hub does not answer, or not as a Hub does.
        """
        info = self._model_info(reference)
        if info.private:
            # As the Hub itself: who may not read a private repository does not learn that it exists.
            raise no_such_repository(reference)
        require_open_lora(info)
        if info.sha is None:
            raise HubUnavailable(f"The Hub names no commit for {reference}. The operator should check HF_ENDPOINT.")
        return ResolvedAdapter(
            ref=str(reference),
            source=AdapterSource.HUB,
            repository=info.id,
            commit=info.sha,
            weight_name=choose_weight_file(info.id, files_of(info), reference.weight_name),
            base_model=self._base_model(info).slug,
        )

    def _model_info(self, reference: AdapterReference) -> ModelInfo:
        try:
            return self._api.model_info(reference.repository, revision=reference.revision, timeout=self._timeout_s)
        except HfHubHTTPError as error:
            raise translate(error, reference) from error
        except (httpx2.HTTPError, OSError) as error:
            raise HubUnavailable(f"The Hub cannot be reached for {reference}: {error}. Try again later.") from error
        except (KeyError, TypeError, ValueError) as error:
            raise HubUnavailable(
                f"What answers about {reference} is no Hub. The operator should check HF_ENDPOINT."
            ) from error

    def _base_model(self, info: ModelInfo) -> ServedModel:
        names = base_models_of(info)
        if not names:
            raise AdapterNotUsable(f"The card of {info.id} names no base_model. Its author has to add one.")
        model = self._base_models.find(*names)
        if model is None:
            served = ", ".join(model.slug for model in self._base_models)
            raise AdapterNotUsable(
                f"{info.id} was made for {' or '.join(names)}, which is not served here; these are: {served}."
            )
        return model


def require_open_lora(info: ModelInfo) -> None:
    """Refuse a gated repository, even one that the service's own token opens, and one that is no LoRA.

    Raises:
        AdapterNotUsable: it is one of these.
    """
    if info.gated:
        raise AdapterNotUsable(f"{info.id} is gated: its author decides who may use it. Use an open adapter.")
    if LORA_TAG not in (info.tags or ()):
        raise AdapterNotUsable(f"{info.id} is no LoRA: it lacks the tag {LORA_TAG!r}.")


def base_models_of(info: ModelInfo) -> tuple[str, ...]:
    """The base models that a repository names: in its card, else in the Hub's tags."""
    named = info.card_data.base_model if info.card_data else None
    if named:
        return (named,) if isinstance(named, str) else tuple(named)
    return tuple(tag.removeprefix(BASE_MODEL_TAG) for tag in info.tags or () if tag.startswith(BASE_MODEL_TAG))


def files_of(info: ModelInfo) -> tuple[str, ...]:
    """The paths of a repository's files."""
    return tuple(sibling.rfilename for sibling in info.siblings or ())


def choose_weight_file(repository: str, files: Sequence[str], wanted: str | None) -> str:
    """The file that a reference asks for, else diffusers' usual one, else the only one.

    Raises:
        AdapterNotFound: the file that is asked for does not exist.
        AdapterNotUsable: there is no safetensors file, or several and none is asked for.
    """
    candidates = sorted(file for file in files if file.endswith(".safetensors"))
    listed = ", ".join(candidates[:10])
    if not candidates:
        pickles = any(PurePosixPath(file).suffix in PICKLE_SUFFIXES for file in files)
        found = "only pickles, which may run code when loaded" if pickles else "none"
        raise AdapterNotUsable(f"{repository} must hold a safetensors file; it holds {found}.")
    if wanted is not None:
        if wanted not in candidates:
            raise AdapterNotFound(f"{repository} has no file {wanted!r}; it has {listed}.")
        return wanted
    if DEFAULT_WEIGHT_NAME in candidates:
        return DEFAULT_WEIGHT_NAME
    if len(candidates) > 1:
        raise AdapterNotUsable(f"{repository} holds several adapters: {listed}. Name one: {repository}:{candidates[0]}")
    return candidates[0]


def translate(error: HfHubHTTPError, reference: AdapterReference) -> StokeholdError:
    """What an HTTP status of the Hub means for a reference."""
    status = error.response.status_code
    repository = reference.repository
    if isinstance(error, GatedRepoError | DisabledRepoError):
        return AdapterNotUsable(f"{repository} is gated or disabled on the Hub. Use an open adapter.")
    if isinstance(error, RevisionNotFoundError):
        return AdapterNotFound(f"{repository} has no revision {reference.revision!r} on the Hub.")
    if isinstance(error, RepositoryNotFoundError) or status in (400, 404):
        return no_such_repository(reference)
    if status == 401 and "Invalid credentials" in str(error):
        return HubUnavailable("The Hub refuses the token of this service. The operator should renew HF_TOKEN.")
    if status in (408, 429) or status >= 500:
        return HubUnavailable(f"The Hub answers {status} about {reference}. Try again later.")
    return AdapterNotUsable(f"The Hub refuses access to {repository} (status {status}). Use an open adapter.")


def no_such_repository(reference: AdapterReference) -> AdapterNotFound:
    """The error for a repository that does not exist, or that this service does not show."""
    return AdapterNotFound(f"The Hub has no public repository {reference.repository}. Check the spelling.")
