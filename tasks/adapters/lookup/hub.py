"""Adapters on the model hub: what a repository says of itself, which of its files is the adapter, and its header.

The card's ``base_model`` and the tag ``lora`` are asked for as "Goodbye cold boot - how we made LoRA Inference 300%
faster" (Hugging Face, December 2023) does it; unlike there, the shapes in the file have the last word.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
from huggingface_hub import HfApi, ModelInfo, hf_hub_url
from huggingface_hub.errors import (
    DisabledRepoError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import (  # type: ignore[attr-defined]
    build_hf_headers,
    get_session,
    hf_raise_for_status,
)

from tasks.adapters.file.identity import AdapterSource, FoundAdapter
from tasks.adapters.file.reference import AdapterReference
from tasks.adapters.file.safetensors import FIRST_BYTES, SafetensorsHeader, header_end, parse_header
from tasks.adapters.lookup.weight_files import choose_weight_file
from tasks.errors import AdapterNotFound, AdapterNotUsable, HubUnavailable, StokeholdError

MAX_TRIGGER_CHARACTERS = 200
MAX_BASE_NAMES, MAX_NAME = 20, 200
MAX_TIMEOUTS = 4
"""How many timeouts the header of a file may take in all."""
LORA_TAG = "lora"
BASE_MODEL_TAG = "base_model:adapter:"


class AdapterHub:
    """Resolves references to adapters on the Hub. Thread-safe: it keeps nothing."""

    def __init__(self, *, api: HfApi | None = None, timeout_s: float = 5.0) -> None:
        """Ask the Hub that ``api`` talks to; None means ``HF_ENDPOINT`` with ``HF_TOKEN``, as its client reads them.

        Args:
            timeout_s: seconds to wait for a connection, and for each part of the answer. The client does not try again.
        """
        self._api = api or HfApi()
        self._timeout_s = timeout_s

    def look_up(self, reference: AdapterReference, *, allow_private: bool = False) -> FoundAdapter:
        """Pin an adapter on the Hub to the commit that its revision stands for now.

        Args:
            allow_private: the requester may use private and gated repositories that the service's token can read.

        Raises:
            AdapterNotFound: there is no such repository, revision or file, or it is private and not allowed.
            AdapterNotUsable: it is gated and not allowed, or has no safetensors file.
            HubUnavailable: the Hub does not answer, or not as a Hub does.
        """
        info = self._model_info(reference, allow_private=allow_private)
        if not allow_private:
            require_open(info, reference)
        if info.sha is None:
            raise HubUnavailable(
                f"The Hub did not return a commit for {reference}. The operator should check HF_ENDPOINT."
            )
        chosen = choose_weight_file(info.id, files_of(info), reference.weight_name)
        size_bytes, sha256 = file_facts(info, chosen.path)
        with self._errors(reference):
            return FoundAdapter(
                ref=str(reference),
                source=AdapterSource.HUB,
                repository=info.id,
                commit=info.sha,
                weight_name=chosen.path,
                sha256=sha256,
                size_bytes=size_bytes,
                base_names=base_models_of(info),
                is_tagged=LORA_TAG in (info.tags or ()),
                trigger_words=trigger_words_of(info),
                warnings=chosen.warnings,
            )

    def read_header(self, found: FoundAdapter) -> SafetensorsHeader:
        """The header of an adapter's file; of the rest of it, next to nothing is fetched.

        Raises:
            AdapterNotFound: the file is gone.
            AdapterNotUsable: it is not a complete safetensors file, or the service's token may not read it.
            HubUnavailable: the Hub does not answer.
        """
        name, size = found.weight_name, found.size_bytes
        with self._errors(AdapterReference(found.repository)):
            start = self._beginning(found, FIRST_BYTES)
            if len(start) < (end := header_end(start, name=name)):
                start = self._beginning(found, end)
        return parse_header(start, name=name, size_bytes=size)

    def _beginning(self, found: FoundAdapter, count: int) -> bytes:
        """The first bytes of a file; no more are read where the Hub sends more than it was asked for.

        Raises:
            TimeoutError: they come too slowly.
        """
        url = hf_hub_url(found.repository, found.weight_name, revision=found.commit, endpoint=self._api.endpoint)
        headers = {**build_hf_headers(token=self._api.token), "Range": f"bytes=0-{count - 1}"}
        with get_session().stream("GET", url, headers=headers, timeout=self._timeout_s) as response:
            hf_raise_for_status(response)
            start, deadline = b"", time.monotonic() + MAX_TIMEOUTS * self._timeout_s
            for part in response.iter_bytes():
                start += part
                if time.monotonic() > deadline:
                    raise TimeoutError("its file is sent too slowly")
                if len(start) >= count:
                    break
        return start[:count]

    def _model_info(self, reference: AdapterReference, *, allow_private: bool) -> ModelInfo:
        with self._errors(reference):
            try:
                return self._ask(reference.repository, reference.revision)
            except RevisionNotFoundError:
                # The Hub says so of a private repository too, to the service's token.
                if not allow_private and self._ask(reference.repository).private:
                    raise no_such_repository(reference) from None
                raise

    def _ask(self, repository: str, revision: str | None = None) -> ModelInfo:
        return self._api.model_info(repository, revision=revision, timeout=self._timeout_s, files_metadata=True)

    @contextmanager
    def _errors(self, reference: AdapterReference) -> Iterator[None]:
        """Translate what the Hub and its client raise.

        Raises:
            AdapterNotFound, AdapterNotUsable, HubUnavailable: in its place.
        """
        try:
            yield
        except HfHubHTTPError as error:
            raise translate(error, reference) from error
        except (httpx2.HTTPError, OSError) as error:
            raise HubUnavailable(f"The Hub cannot be reached for {reference}: {error}. Try again later.") from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise HubUnavailable(
                f"What answers about {reference} is not a model hub. The operator should check HF_ENDPOINT."
            ) from error


def require_open(info: ModelInfo, reference: AdapterReference) -> None:
    """Refuse a private or gated repository, even one that the service's own token opens.

    Raises:
        AdapterNotFound: it is private: as on the Hub itself, who may not read it does not learn that it exists.
        AdapterNotUsable: it is gated.
    """
    if info.private:
        raise no_such_repository(reference)
    if info.gated:
        raise AdapterNotUsable(
            f"{info.id} is gated: its author decides who may use it. Use an adapter that is not gated."
        )


def base_models_of(info: ModelInfo) -> tuple[str, ...]:
    """The base models that a repository names: in its card, else in the Hub's tags."""
    named = info.card_data.base_model if info.card_data else None
    if named:  # a card's author writes there what they like
        names = named if isinstance(named, list) else [named]
        return tuple(name for name in names[:MAX_BASE_NAMES] if isinstance(name, str) and len(name) <= MAX_NAME)
    return tuple(tag.removeprefix(BASE_MODEL_TAG) for tag in info.tags or () if tag.startswith(BASE_MODEL_TAG))


def trigger_words_of(info: ModelInfo) -> tuple[str, ...]:
    """The prompt that the adapter was trained with, as trainers for single subjects write it into the card."""
    prompt = info.card_data.get("instance_prompt") if info.card_data else None
    return (prompt[:MAX_TRIGGER_CHARACTERS],) if isinstance(prompt, str) and prompt.strip() else ()


def file_facts(info: ModelInfo, path: str) -> tuple[int | None, str | None]:
    """Size and SHA-256 of a file, as far as the Hub names them: it knows the checksum of large files alone."""
    sibling = next((sibling for sibling in info.siblings or () if sibling.rfilename == path), None)
    if sibling is None:
        return None, None
    return sibling.size, sibling.lfs.sha256 if sibling.lfs else None


def files_of(info: ModelInfo) -> tuple[str, ...]:
    """The paths of a repository's files."""
    return tuple(sibling.rfilename for sibling in info.siblings or ())


def translate(error: HfHubHTTPError, reference: AdapterReference) -> StokeholdError:
    """Return what an HTTP status of the Hub means for a reference."""
    status = error.response.status_code
    repository = reference.repository
    if isinstance(error, GatedRepoError | DisabledRepoError):
        return AdapterNotUsable(f"{repository} is gated or disabled on the Hub. Use another adapter.")
    if isinstance(error, RevisionNotFoundError):
        return AdapterNotFound(f"{repository} has no revision {reference.revision!r} on the Hub.")
    if isinstance(error, RepositoryNotFoundError) or status in (400, 404):
        return no_such_repository(reference)
    if status == 401 and "Invalid credentials" in str(error):
        return HubUnavailable("The Hub rejects the token of this service. The operator should renew HF_TOKEN.")
    if status in (408, 429) or status >= 500:
        return HubUnavailable(f"The Hub answers {status} about {reference}. Try again later.")
    return AdapterNotUsable(f"The Hub refuses access to {repository} (status {status}). Use another adapter.")


def no_such_repository(reference: AdapterReference) -> AdapterNotFound:
    """The error for a repository that does not exist, or that this service does not show."""
    return AdapterNotFound(f"The Hub has no public repository {reference.repository}. Check the spelling.")
