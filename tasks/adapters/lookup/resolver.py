"""From what a client wrote to an adapter pinned to one file, and from adapters to their base model."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

from cachetools import TLRUCache

from tasks.adapters.file.address import FileAddress, is_address
from tasks.adapters.file.identity import AdapterSource, FoundAdapter, ResolvedAdapter
from tasks.adapters.file.reference import AdapterReference
from tasks.adapters.file.safetensors import SafetensorsHeader
from tasks.adapters.lookup.folder import AdapterFolders
from tasks.adapters.lookup.hub import AdapterHub
from tasks.adapters.lookup.trigger_words import trigger_warnings
from tasks.adapters.passport.fit import Verdict
from tasks.adapters.passport.passport import Passport, Passports
from tasks.base_models.registry import BaseModels, ServedModel
from tasks.errors import AdapterNotUsable, InvalidRequest

MAX_REMEMBERED = 4096
REFUSAL_TTL_S = 10.0
"""Seconds that a refusal is remembered: it spares the Hub a client's retries, and its author sees the next fix soon."""


@dataclass(frozen=True)
class Admitted:
    """An adapter that a job may use.

    Attributes:
        warnings: what the client should know.
        default_scale: of a request that names none.
        trigger_words: those that a prompt needs for the full effect.
    """

    adapter: ResolvedAdapter
    warnings: tuple[str, ...]
    default_scale: float
    trigger_words: tuple[str, ...]

    def warnings_for(self, prompt: str) -> tuple[str, ...]:
        """All that a client should know who uses the adapter with this prompt."""
        return self.warnings + trigger_warnings(self.adapter.ref, self.trigger_words, prompt)


@dataclass(frozen=True)
class _Question:
    """What the Hub, or another server, was asked.

    Who may use private repositories gets answers of their own, which no other one sees.
    """

    reference: AdapterReference | FileAddress
    allow_private: bool


@dataclass(frozen=True)
class Requester:
    """Who asks for an adapter.

    Attributes:
        owner: id of the API key; None where none is configured.
        allow_private: it may use private and gated repositories.
    """

    owner: str | None = None
    allow_private: bool = False


ANONYMOUS = Requester()


FindEntry = Callable[[str, str | None], FoundAdapter | None]
"""The file of the catalogue's entry of a name, if there is one that an owner may see."""


class HeaderSource(Protocol):
    """Where files of adapters are."""

    def read_header(self, found: FoundAdapter) -> SafetensorsHeader:
        """The header of a file that is there."""


class AddressSource(HeaderSource, Protocol):
    """Where files at addresses are."""

    def look_up(self, address: FileAddress) -> FoundAdapter:
        """The file at an address, as it is now."""


class AdapterResolver:
    """Resolves every reference and judges what it finds; remembers what other servers answered. Thread-safe.

    Local adapters are looked up each time: their folders notice changes by themselves, and a job must not be pinned to
    the content that a file had minutes ago. A Hub that does not answer is asked again each time. Verdicts are not
    remembered: base models change.
    """

    def __init__(
        self,
        folders: AdapterFolders,
        hub: AdapterHub,
        find_entry: FindEntry,
        uploads: HeaderSource,
        passports: Passports,
        *,
        addressed: AddressSource,
        ttl_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Remember the Hub's answers for ``ttl_s`` seconds of ``clock``, refusals for at most ``REFUSAL_TTL_S``."""
        self._folders = folders
        self._hub = hub
        self._find_entry = find_entry
        self._addressed = addressed
        self._passports = passports
        self._header_sources: Mapping[AdapterSource, HeaderSource] = {
            AdapterSource.FOLDER: folders,
            AdapterSource.HUB: hub,
            AdapterSource.UPLOAD: uploads,
            AdapterSource.ADDRESS: addressed,
        }
        self._answers: TLRUCache[_Question, FoundAdapter | InvalidRequest, float] = TLRUCache(
            MAX_REMEMBERED,
            lambda _, answer, now: now + (min(ttl_s, REFUSAL_TTL_S) if isinstance(answer, InvalidRequest) else ttl_s),
            clock,
        )
        self._lock = Lock()

    def admit(
        self, ref: str, *, field: str | None = None, requester: Requester = ANONYMOUS, preferred: str | None = None
    ) -> Admitted:
        """Pin the adapter that ``ref`` names, for a job.

        Args:
            field: path of the field in the request that holds ``ref``; the errors carry it.
            requester: sees its own and shared entries of the catalogue, and private repositories where it may.
            preferred: the base model that the request asks for, which an adapter goes to where it fits.

        Raises:
            InvalidRequest: ``ref`` is not a reference.
            AdapterNotFound: no adapter has this reference.
            AdapterNotUsable: the adapter cannot be used here; the message says why.
            HubUnavailable: the Hub does not answer.
            ValkeyUnavailable: Valkey does not answer.
        """
        try:
            found = self.look_up(ref, requester)
            passport = self.judge(found, preferred)
            if passport.base_model is None or passport.verdict is Verdict.REJECTED:
                raise AdapterNotUsable(f"{ref} cannot be used with this service. {passport.reason}")
        except InvalidRequest as error:
            raise error.at(field) from error
        warnings = tuple(f"{ref}: {text}" for text in passport.warnings)
        return Admitted(found.resolved(passport.base_model), warnings, found.default_scale, passport.trigger_words)

    def inspect(self, ref: str, *, field: str | None = None, requester: Requester = ANONYMOUS) -> Passport:
        """The passport of the adapter that ``ref`` names, whatever its verdict.

        Raises:
            InvalidRequest, HubUnavailable, ValkeyUnavailable: as ``admit`` does, where there is no file to judge.
        """
        try:
            return self.judge(self.look_up(ref, requester))
        except InvalidRequest as error:
            raise error.at(field) from error

    def judge(
        self, found: FoundAdapter, preferred: str | None = None, *, header: SafetensorsHeader | None = None
    ) -> Passport:
        """The passport of a file that was found.

        Args:
            header: of the file, where it has been read.
        """
        read_header = self._header_sources[found.source].read_header if header is None else lambda _: header
        return self._passports.of(found, read_header, preferred)

    def look_up(self, ref: str, requester: Requester) -> FoundAdapter:
        """The file that ``ref`` names, unjudged.

        Raises:
            InvalidRequest, HubUnavailable, ValkeyUnavailable: as ``admit`` does, where there is no file.
        """
        reference = FileAddress.parse(ref) if is_address(ref) else AdapterReference.parse(ref)
        return self._found(reference, requester).model_copy(update={"ref": ref})

    def _found(self, reference: AdapterReference | FileAddress, requester: Requester) -> FoundAdapter:
        if isinstance(reference, FileAddress):
            return self._remembered(_Question(reference, allow_private=False))
        if not reference.is_name:
            return self._remembered(_Question(reference, requester.allow_private))
        found = self._find_entry(reference.repository, requester.owner)
        return self._folders.look_up(reference) if found is None else found

    def _remembered(self, question: _Question) -> FoundAdapter:
        with self._lock:
            answer = self._answers.get(question)
        if answer is None:
            # Not under the lock: a slow answer must not hold up the other requests.
            answer = self._ask(question)
            with self._lock:
                self._answers[question] = answer
        if isinstance(answer, InvalidRequest):
            raise answer.at(None)
        return answer

    def _ask(self, question: _Question) -> FoundAdapter | InvalidRequest:
        reference = question.reference
        try:
            if isinstance(reference, FileAddress):
                return self._addressed.look_up(reference)
            return self._hub.look_up(reference, allow_private=question.allow_private)
        except InvalidRequest as error:
            return error.at(None)  # without the frames and the HTTP response that the first one holds on to


def choose_base_model(
    requested: str | None, adapters: Sequence[ResolvedAdapter], base_models: BaseModels
) -> ServedModel:
    """The base model of a request: that of its adapters, else the one it names, else the first one served.

    Raises:
        BaseModelNotServed: the request names one that is not served.
        InvalidRequest: the adapters were made for several base models, or for another one than the request names.
    """
    slugs = {adapter.base_model for adapter in adapters}
    if len(slugs) > 1:
        made_for = ", ".join(f"{adapter.ref} for {adapter.base_model}" for adapter in adapters)
        raise InvalidRequest(
            f"The adapters were made for different base models: {made_for}. Send a request for each base model.",
            field="adapters",
        )
    if requested is None:
        return base_models.named(slugs.pop()) if slugs else base_models.default
    model = base_models.named(requested)
    if slugs - {model.slug}:
        raise InvalidRequest(
            f"The adapters were made for base model {slugs.pop()!r}, not for {requested!r}. "
            "Request that base model, or leave it out.",
            field="base_model",
        )
    return model
