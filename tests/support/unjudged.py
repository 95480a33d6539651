"""Lets every adapter through, as if its header told nothing: for tests of what workers do with bad ones."""

from __future__ import annotations

from collections.abc import Callable

from tasks.adapters.file.identity import FoundAdapter
from tasks.adapters.file.safetensors import SafetensorsHeader
from tasks.adapters.passport.fit import Fit, Verdict
from tasks.adapters.passport.passport import NOTHING, Passport, Passports, passport_of
from tasks.adapters.passport.route import Route


class Unjudged(Passports):
    """Gives every adapter to the demo base, unread."""

    def of(
        self,
        found: FoundAdapter,
        read_header: Callable[[FoundAdapter], SafetensorsHeader],  # noqa: ARG002
        preferred: str | None = None,  # noqa: ARG002
    ) -> Passport:
        return passport_of(found, NOTHING, Route("demo", Fit(Verdict.UNKNOWN, "it was not judged")))
