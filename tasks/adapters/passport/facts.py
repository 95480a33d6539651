"""Facts from the header of an adapter's file, cached for as long as they cannot change.

stokehold:header:<digest>   string  names and shapes of a file's tensors, compressed; expires
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import cast

from cachetools import LRUCache

from tasks.adapters.file.identity import AdapterSource, FoundAdapter, PinnedFile
from tasks.adapters.file.safetensors import SafetensorsHeader, Shape
from tasks.adapters.file.sidecar import BASE_MODEL_KEYS, TRIGGER_WORDS_KEY, trigger_words
from tasks.adapters.passport.layers import AdapterLayers, bounded, layers_of
from tasks.errors import RecordNotUnderstood
from tasks.fields import StoredRecord, read
from tasks.valkey import Valkey

logger = logging.getLogger(__name__)

KEEP_S = 86_400
MAX_SHARED_CHARACTERS = 500_000
"""Of one file's facts, compressed. A header of some thousand tensors takes a twentieth of that."""
MAX_REMEMBERED = 64

KOHYA_ALPHA_KEY = "ss_network_alpha"
DIFFUSERS_CONFIG_KEY = "lora_adapter_metadata"
KEPT_KEYS = (*BASE_MODEL_KEYS, TRIGGER_WORDS_KEY, KOHYA_ALPHA_KEY, DIFFUSERS_CONFIG_KEY)
MAX_VALUE_CHARACTERS = 100_000
MAX_TRIGGER_WORDS = 20
MAX_ALPHAS = 20


class StoredFacts(StoredRecord):
    """A header without the parts that are not used."""

    shapes: dict[str, Shape]
    metadata: dict[str, str]


@dataclass(frozen=True)
class AdapterFacts:
    """Facts from the header of a file."""

    layers: AdapterLayers
    metadata: Mapping[str, str]

    @property
    def trigger_words(self) -> tuple[str, ...]:
        return bounded(trigger_words(self.metadata), MAX_TRIGGER_WORDS)

    @cached_property
    def alphas(self) -> tuple[float, ...]:
        """The alphas that its metadata names; those that stand in tensors are not read."""
        return tuple(sorted(alphas_of(self.metadata)))[:MAX_ALPHAS]


class FactsCache:
    """Reads a file's header once for each version of it, for every process of the service. Thread-safe."""

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey
        self._remembered: LRUCache[str, AdapterFacts] = LRUCache(MAX_REMEMBERED)
        self._lock = Lock()

    def of(self, found: FoundAdapter, read: Callable[[FoundAdapter], SafetensorsHeader]) -> AdapterFacts:
        """Return what the file says; ``read`` fetches it if it is not cached.

        Raises:
            ValkeyUnavailable: Valkey does not answer.
            Exception: as ``read`` does.
        """
        key = _key(found)
        with self._lock:
            known = self._remembered.get(key)
        if known is not None:
            return known
        # A local file is read faster than it is asked for.
        stored = None if found.source is AdapterSource.FOLDER else self._shared(key)
        if stored is None:
            stored = stored_facts(read(found))
            if found.source is not AdapterSource.FOLDER:
                self._share(key, stored)
        facts = AdapterFacts(layers_of(stored.shapes), stored.metadata)
        with self._lock:
            self._remembered[key] = facts
        return facts

    def _shared(self, key: str) -> StoredFacts | None:
        text = cast(str | None, self._valkey.get(key))
        if text is None:
            return None
        try:
            return read(StoredFacts, zlib.decompress(base64.b64decode(text)), "What a file says of itself")
        except RecordNotUnderstood as error:
            logger.info("a file is read again: %s", error)
            return None

    def _share(self, key: str, facts: StoredFacts) -> None:
        text = base64.b64encode(zlib.compress(facts.model_dump_json().encode())).decode()
        if len(text) <= MAX_SHARED_CHARACTERS:
            self._valkey.set(key, text, ex=KEEP_S)


def stored_facts(header: SafetensorsHeader) -> StoredFacts:
    """Return what is kept of a header."""
    kept = {key: header.metadata[key] for key in KEPT_KEYS if key in header.metadata}
    short = {key: value for key, value in kept.items() if len(value) <= MAX_VALUE_CHARACTERS}
    return StoredFacts(shapes=dict(header.shapes), metadata=short)


def alphas_of(metadata: Mapping[str, str]) -> set[float]:
    """Every alpha in the metadata that kohya or diffusers writes."""
    values: list[object] = [metadata.get(KOHYA_ALPHA_KEY)]
    try:
        config = json.loads(metadata.get(DIFFUSERS_CONFIG_KEY, "{}"))
    except (ValueError, RecursionError):
        config = {}
    for key, value in config.items() if isinstance(config, dict) else ():
        if key.endswith("lora_alpha"):
            values.append(value)
        elif key.endswith("alpha_pattern") and isinstance(value, dict):
            values += value.values()
    return {number for value in values if (number := as_number(value)) is not None}


def as_number(value: object) -> float | None:
    """A finite number, or text that spells one."""
    if not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < 1e9 else None


def _key(file: PinnedFile) -> str:
    return f"stokehold:header:{hashlib.sha256(json.dumps(file.version).encode()).hexdigest()}"
