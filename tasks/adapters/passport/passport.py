"""An adapter's passport, and how one is made."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from cachetools import LRUCache
from pydantic import Field

from tasks.adapters.file.identity import FoundAdapter, PinnedFile
from tasks.adapters.file.safetensors import SafetensorsHeader
from tasks.adapters.passport.facts import AdapterFacts, FactsCache
from tasks.adapters.passport.fit import Fit, Verdict, family_of_adapter
from tasks.adapters.passport.layers import Format, Part, bounded, layers_of
from tasks.adapters.passport.route import Route, choose_route
from tasks.base_models.families import Family
from tasks.base_models.registry import BaseModels
from tasks.base_models.shapes import ShapeStore
from tasks.errors import AdapterNotUsable

MAX_UNMATCHED = 20
MAX_NAMES = 10
MAX_REMEMBERED = 1024


class Passport(PinnedFile):
    """The expected outcome of an adapter, before a worker has loaded it."""

    ref: str = Field(description="as the request gave it")
    verdict: Verdict = Field(description="`unknown`: it is used, with a warning in the job's record")
    reason: str = Field(description="a sentence that says why")
    base_model: str | None = Field(
        description="slug of the base model that a job with it would get; null where there is none, or where the "
        "request must name one"
    )
    fits: tuple[str, ...] = Field(description="slugs of every served base model whose modules it fits")
    card_base_models: tuple[str, ...] = Field(description="base models that its author gives")
    family: Family | None = Field(description="family of the base models that it was made for, if its layers show it")
    format: Format | None = Field(description="naming scheme of the layers in its file; null if it is not a LoRA")
    parts: tuple[Part, ...] = Field(description="parts of the pipeline that it changes")
    ranks: tuple[int, ...] = Field(description="every rank that occurs in it")
    alphas: tuple[float, ...] = Field(description="every alpha in its metadata; those in tensors are not read")
    matched: int = Field(description="layers for which the base model has a module of their shape")
    unmatched: int = Field(description="keys for which it has no such module")
    unmatched_keys: tuple[str, ...] = Field(description=f"the first {MAX_UNMATCHED} of these")
    trigger_words: tuple[str, ...] = Field(description="words that a prompt needs for the full effect")
    warnings: tuple[str, ...] = Field(description="what may go wrong, but does not prevent its use")


def passport_of(found: FoundAdapter, facts: AdapterFacts, route: Route) -> Passport:
    """The passport of an adapter on the base model that it is routed to."""
    fit, layers = route.fit, facts.layers
    doubts = (f"It may not work: {fit.reason}.",) if fit.verdict is Verdict.UNKNOWN else ()
    untagged = () if found.is_tagged else (f"{found.repository} lacks the tag 'lora', and its file is one.",)
    return Passport(
        **found.model_dump(include={"ref", *PinnedFile.model_fields}),
        verdict=fit.verdict,
        reason=as_sentence(fit.reason),
        base_model=route.base_model,
        fits=route.fits,
        card_base_models=bounded(found.base_names, MAX_NAMES),
        family=family_of_adapter(layers),
        format=layers.format if layers.has_factors else None,
        parts=layers.parts,
        ranks=layers.ranks[:MAX_UNMATCHED],
        alphas=facts.alphas,
        matched=fit.matched,
        unmatched=len(fit.unmatched),
        unmatched_keys=bounded(fit.unmatched, MAX_UNMATCHED),
        trigger_words=found.trigger_words or facts.trigger_words,
        warnings=(
            *doubts,
            *route.warnings,
            *(as_sentence(warning) for warning in fit.warnings),
            *found.warnings,
            *untagged,
        ),
    )


def as_sentence(text: str) -> str:
    """The text with a capital letter in front and a full stop."""
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "."


NOTHING = AdapterFacts(layers_of({}), {})


class Passports:
    """The passports of adapters for the base models served. Thread-safe."""

    def __init__(self, base_models: BaseModels, shapes: ShapeStore, facts: FactsCache, *, max_bytes: int) -> None:
        """Reject files of more than ``max_bytes``."""
        self._base_models = base_models
        self._shapes = shapes
        self._facts = facts
        self._max_bytes = max_bytes
        self._remembered: LRUCache[object, Passport] = LRUCache(MAX_REMEMBERED)
        self._lock = Lock()

    def of(
        self,
        found: FoundAdapter,
        read_header: Callable[[FoundAdapter], SafetensorsHeader],
        preferred: str | None = None,
    ) -> Passport:
        """The passport of an adapter as things stand: it is made anew when a base model has changed.

        Args:
            read_header: fetches the header if it is not cached.
            preferred: slug, id or alias of the base model that a request asks for.

        Raises:
            AdapterNotFound: its file is gone.
            ServiceUnavailable: Valkey or the Hub does not answer.
        """
        if found.size_bytes is not None and found.size_bytes > self._max_bytes:
            size = f"its file has {found.size_bytes} bytes, and this service takes at most {self._max_bytes}"
            return rejected(found, size)
        shapes = {model.slug: self._shapes.of(model) for model in self._base_models}
        wanted = None if preferred is None else self._base_models.find(preferred)
        slug = None if wanted is None else wanted.slug
        question = found, slug, tuple(None if shape is None else shape.digest for shape in shapes.values())
        with self._lock:
            known = self._remembered.get(question)
        if known is not None:
            return known
        try:
            facts = self._facts.of(found, read_header)
        except AdapterNotUsable as error:
            return rejected(found, str(error))
        passport = passport_of(found, facts, choose_route(found, facts.layers, self._base_models, shapes, slug))
        with self._lock:
            self._remembered[question] = passport
        return passport


def rejected(found: FoundAdapter, reason: str) -> Passport:
    """The passport of a file that is refused before its layers are looked at."""
    return passport_of(found, NOTHING, Route(None, Fit(Verdict.REJECTED, reason)))
