"""Jobs that share a swap, and those that share a pass: every field of a specification counts, or is named here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tasks.adapters.file.identity import AdapterSource, ResolvedAdapter
from tasks.fields import Stored
from tasks.jobs.grouping import DESCRIBES_THE_FILE, MAY_DIFFER, adapters_digest, settings_digest
from tasks.jobs.job import JobSpec, ScaledAdapter
from tests.support.jobs import OTHER_SPEC, PIN, SCALED, SPEC

OTHER_SCALED: Mapping[str, Any] = {"adapter": PIN.model_copy(update={"commit": "1" * 64}), "scale": 0.5}
OTHER_PIN: Mapping[str, Any] = {
    "ref": "owner/neon",
    "source": AdapterSource.UPLOAD,
    "repository": "dots",
    "commit": "1" * 64,
    "sha256": "1" * 64,
    "size_bytes": 9,
    "weight_name": "dots.safetensors",
    "base_model": "sdxl",
    "object_key": "adapters/a",
}


def changed(value: Any, name: str, others: Mapping[str, Any]) -> Any:
    return value.model_copy(update={name: others[name]})


def with_adapter(scaled: ScaledAdapter) -> JobSpec:
    return SPEC.model_copy(update={"adapters": (scaled,)})


@pytest.mark.parametrize(
    ("kind", "others"), [(JobSpec, OTHER_SPEC), (ScaledAdapter, OTHER_SCALED), (ResolvedAdapter, OTHER_PIN)]
)
def test_every_field_is_tried_here(kind: type[Stored], others: Mapping[str, Any]) -> None:
    assert others.keys() == kind.model_fields.keys()


@pytest.mark.parametrize("name", JobSpec.model_fields)
def test_jobs_that_differ_in_a_field_are_not_drawn_in_one_pass_unless_a_pass_takes_it_from_each(name: str) -> None:
    negative = SPEC.model_copy(update={"negative_prompt": "blue"})

    same = settings_digest(changed(negative, name, OTHER_SPEC)) == settings_digest(negative)

    assert same is (name in MAY_DIFFER)


def test_a_pass_has_a_negative_prompt_for_each_of_its_jobs_or_for_none() -> None:
    assert settings_digest(changed(SPEC, "negative_prompt", OTHER_SPEC)) != settings_digest(SPEC)


@pytest.mark.parametrize("name", ScaledAdapter.model_fields)
def test_every_field_of_an_adapter_at_a_scale_counts(name: str) -> None:
    one, other = with_adapter(SCALED), with_adapter(changed(SCALED, name, OTHER_SCALED))

    assert settings_digest(one) != settings_digest(other)
    assert adapters_digest(one) != adapters_digest(other)


@pytest.mark.parametrize("name", ResolvedAdapter.model_fields)
def test_every_field_of_an_adapter_counts_unless_it_only_describes_the_file(name: str) -> None:
    pin = changed(PIN, name, OTHER_PIN)
    one, other = with_adapter(SCALED), with_adapter(SCALED.model_copy(update={"adapter": pin}))

    assert settings_digest(one) != settings_digest(other)  # the receipts of a pass name the adapters of its first job
    assert (adapters_digest(one) == adapters_digest(other)) is (name in DESCRIBES_THE_FILE)


@pytest.mark.parametrize("part", ["spec", "scaled", "pin"])
def test_a_field_of_a_newer_version_counts_unless_it_is_null(part: str) -> None:
    def with_field(value: object) -> JobSpec:
        newer = {"weather": value}
        pin = PIN.model_copy(update=newer if part == "pin" else {})
        scaled = SCALED.model_copy(update={"adapter": pin, **(newer if part == "scaled" else {})})
        return with_adapter(scaled).model_copy(update=newer if part == "spec" else {})

    assert settings_digest(JobSpec.model_validate(with_field("fine").model_dump())) != settings_digest(
        with_adapter(SCALED)
    )
    assert settings_digest(JobSpec.model_validate(with_field(None).model_dump())) == settings_digest(
        with_adapter(SCALED)
    )


def test_the_order_of_adapters_counts() -> None:
    other = SCALED.model_copy(update={"adapter": PIN.model_copy(update={"commit": "1" * 64})})
    one, turned = (SPEC.model_copy(update={"adapters": order}) for order in ((SCALED, other), (other, SCALED)))

    assert adapters_digest(one) != adapters_digest(turned)
