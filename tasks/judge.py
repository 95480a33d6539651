"""Makes passports: brings together an adapter's header and what the workers tell of the base models."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from cachetools import LRUCache

from tasks.adapter_facts import AdapterFacts, FactsCache
from tasks.adapter_layers import layers_of
from tasks.adapters.file.identity import FoundAdapter
from tasks.adapters.file.safetensors import SafetensorsHeader
from tasks.base_models.registry import BaseModels
from tasks.base_models.shapes import ShapeStore
from tasks.errors import AdapterNotUsable
from tasks.fit import Fit, Verdict
from tasks.passport import Passport, passport_of
from tasks.route import Route, choose_route

MAX_REMEMBERED = 1024

NOTHING = AdapterFacts(layers_of({}), {})


class Judge:
    """Judges adapters for the base models served. Thread-safe."""

    def __init__(self, base_models: BaseModels, shapes: ShapeStore, facts: FactsCache, *, max_bytes: int) -> None:
        """Reject files of more than ``max_bytes``."""
        self._base_models = base_models
        self._shapes = shapes
        self._facts = facts
        self._max_bytes = max_bytes
        self._passports: LRUCache[object, Passport] = LRUCache(MAX_REMEMBERED)
        self._lock = Lock()

    def passport(
        self,
        found: FoundAdapter,
        read_header: Callable[[FoundAdapter], SafetensorsHeader],
        preferred: str | None = None,
    ) -> Passport:
        """The passport of an adapter as things stand: it is made anew when a base model has changed.

        Args:
            read_header: fetches the header, where nobody remembers it.
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
            known = self._passports.get(question)
        if known is not None:
            return known
        try:
            facts = self._facts.of(found, read_header)
        except AdapterNotUsable as error:
            return rejected(found, str(error))
        passport = passport_of(found, facts, choose_route(found, facts.layers, self._base_models, shapes, slug))
        with self._lock:
            self._passports[question] = passport
        return passport


def rejected(found: FoundAdapter, reason: str) -> Passport:
    """The passport of a file that is refused before its layers are looked at."""
    return passport_of(found, NOTHING, Route(None, Fit(Verdict.REJECTED, reason)))
