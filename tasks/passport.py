"""An adapter's passport: whether it will work here, judged from the header of its file."""

from __future__ import annotations

from pydantic import Field

from tasks.adapter_facts import AdapterFacts
from tasks.adapter_layers import Format, Part, bounded
from tasks.adapters.file.identity import AdapterSource, FoundAdapter
from tasks.base_models.families import Family
from tasks.fields import Stored
from tasks.fit import Verdict, family_of_adapter
from tasks.route import Route

MAX_UNMATCHED = 20
MAX_NAMES = 10


class Passport(Stored):
    """What is to be expected of an adapter, before any worker has seen it."""

    ref: str = Field(description="as the request had it")
    verdict: Verdict = Field(description="`unknown`: it is tried, with a warning in the job's record")
    reason: str = Field(description="a sentence that says why")
    base_model: str | None = Field(
        description="slug of the base model that a job with it would get; null where there is none, or where the "
        "request must name one"
    )
    fits: tuple[str, ...] = Field(description="slugs of every served base model whose modules it fits")
    card_base_models: tuple[str, ...] = Field(description="base models that its author names")
    family: Family | None = Field(description="of the base models that it was made for, where its layers tell")
    format: Format | None = Field(description="how its file names its layers; null where it holds no LoRA")
    parts: tuple[Part, ...] = Field(description="parts of the pipeline that it changes")
    ranks: tuple[int, ...] = Field(description="every rank that occurs in it")
    alphas: tuple[float, ...] = Field(description="every alpha that its metadata names; those in tensors are not read")
    matched: int = Field(description="layers for which the base model has a module of their shape")
    unmatched: int = Field(description="keys for which it has none")
    unmatched_keys: tuple[str, ...] = Field(description=f"the first {MAX_UNMATCHED} of these")
    trigger_words: tuple[str, ...] = Field(description="words that a prompt needs for the full effect")
    size_bytes: int | None = Field(description="of the file; null where the Hub does not name it")
    sha256: str | None = Field(description="of the file; null where the Hub does not name it")
    source: AdapterSource
    repository: str
    commit: str = Field(description="of the repository on the Hub; of a local file its SHA-256")
    weight_name: str
    warnings: tuple[str, ...] = Field(description="what is doubtful, and does not stop it")


def passport_of(found: FoundAdapter, facts: AdapterFacts, route: Route) -> Passport:
    """The passport of an adapter on the base model that it is routed to."""
    fit, layers = route.fit, facts.layers
    doubts = (f"It may not work: {fit.reason}.",) if fit.verdict is Verdict.UNKNOWN else ()
    untagged = () if found.is_tagged else (f"{found.repository} lacks the tag 'lora', and its file is one.",)
    return Passport(
        ref=found.ref,
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
        size_bytes=found.size_bytes,
        sha256=found.sha256,
        source=found.source,
        repository=found.repository,
        commit=found.commit,
        weight_name=found.weight_name,
        warnings=(*doubts, *route.warnings, *(as_sentence(warning) for warning in fit.warnings), *untagged),
    )


def as_sentence(text: str) -> str:
    """The text with a capital letter in front and a full stop."""
    return f"{text[:1].upper()}{text[1:]}".rstrip(".") + "."
