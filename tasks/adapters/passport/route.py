"""The choice of the base model for an adapter: its card says, and the shapes of its layers have the last word."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.adapters.file.identity import FoundAdapter
from tasks.adapters.passport.fit import Fit, Verdict, family_of_adapter, fit
from tasks.adapters.passport.layers import AdapterLayers
from tasks.base_models.families import Family
from tasks.base_models.registry import BaseModels, ServedModel
from tasks.base_models.shapes import BaseShapes

SHOWN = 300
"""Characters of what a card says that a sentence shows."""
MAX_REASONS = 3

NO_LORA = Fit(Verdict.REJECTED, "it is not a LoRA: none of its tensors looks like a low-rank factor")


@dataclass(frozen=True)
class Route:
    """The base model of a job with an adapter.

    Attributes:
        base_model: slug; None where no base model serves it, or where the request must name one of ``fits``.
        fit: how it fits there, with the reason of the verdict.
        fits: slugs of every base model that it is sure to fit.
        warnings: why it does not go where its card says.
    """

    base_model: str | None
    fit: Fit
    fits: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def choose_route(
    found: FoundAdapter,
    layers: AdapterLayers,
    base_models: BaseModels,
    shapes: Mapping[str, BaseShapes | None],
    preferred: str | None = None,
) -> Route:
    """The base model for an adapter.

    Args:
        shapes: of each base model, by slug; None where they are not known.
        preferred: slug of the one that a request asks for; it is taken where the adapter is sure to fit it.
    """
    if not layers.has_factors:
        return Route(None, NO_LORA)
    card = base_models.find(*found.base_names)
    return Candidates(
        card=None if card is None else card.slug,
        origin=origin(found, card),
        family=family_of_adapter(layers),
        families={slug: None if shape is None else shape.family for slug, shape in shapes.items()},
        fits={slug: fit(layers, shape) for slug, shape in shapes.items()},
    ).route(preferred)


@dataclass(frozen=True)
class Candidates:
    """The base models served, and how an adapter fits each.

    Attributes:
        card: slug of the base model that the adapter's card names, if that is served.
        origin: what the card says, as the beginning of a sentence.
        family: of the adapter.
        families: of each base model.
    """

    card: str | None
    origin: str
    family: Family | None
    families: Mapping[str, Family | None]
    fits: Mapping[str, Fit]

    def route(self, preferred: str | None) -> Route:
        """The one that the request asks for, if it is sure; that of the card, if it is possible; the only sure one."""
        sure = self._with(Verdict.ACCEPTED)
        if preferred in sure:
            return self._to(preferred)
        if self.card is not None and self.fits[self.card].verdict is not Verdict.REJECTED:
            return self._to(self.card)
        if len(sure) > 1:
            choice = f"it fits several base models ({', '.join(sure)}) and its card names none: name one in base_model"
            return Route(None, Fit(Verdict.ACCEPTED, choice), sure)
        return self._to(sure[0]) if sure else self._without_a_sure_one()

    def _without_a_sure_one(self) -> Route:
        """Refused by the card's own base; else the only possible one of its family; else as a card alone decides."""
        if self.card is not None:
            return Route(None, self.fits[self.card])
        possible = self._with(Verdict.UNKNOWN)
        related = [slug for slug in possible if self.family is not None and self.families[slug] is self.family]
        if len(related) == 1:
            return self._to(related[0])
        if possible:
            served = ", ".join(self.fits)
            return Route(None, Fit(Verdict.REJECTED, f"{self.origin}; these base models are served: {served}"))
        reasons = [f"{slug}: {fit.reason}" for slug, fit in self.fits.items()]
        only = next(iter(self.fits.values()))
        return Route(None, only if len(reasons) == 1 else Fit(Verdict.REJECTED, "; ".join(reasons[:MAX_REASONS])))

    def _to(self, slug: str) -> Route:
        warnings = () if slug == self.card else (f"{self.origin}; it fits {slug!r}, which is used.",)
        return Route(slug, self.fits[slug], self._with(Verdict.ACCEPTED), warnings)

    def _with(self, verdict: Verdict) -> tuple[str, ...]:
        return tuple(slug for slug, fit in self.fits.items() if fit.verdict is verdict)


def origin(found: FoundAdapter, card: ServedModel | None) -> str:
    """Return what the card says of the base model."""
    if card is not None:
        return f"The card of {found.repository} names base model {card.slug!r}"
    if found.base_names:
        return f"{found.repository} was made for {' or '.join(found.base_names)[:SHOWN]}, which is not served here"
    return f"The card of {found.repository} names no base_model"
