"""Stored records are read by other versions than the one that wrote them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from tasks.adapters.file.identity import ResolvedAdapter
from tasks.batches.batch import BatchOptions, Forecast, LineError, Plan
from tasks.errors import RecordNotUnderstood
from tasks.fields import VERSION, Frozen, Stored, StoredRecord, read, read_all
from tasks.jobs.job import JobSpec, Measured, Progress, ScaledAdapter
from tasks.jobs.manifest import Manifest
from tasks.jobs.result import Failure, SwapWay, Timings
from tasks.requests.job import JobRequest
from tests.support.jobs import SPEC, manifest

IN_HASHES = (BatchOptions, Failure, Forecast, LineError, Measured, Progress)
"""Kinds that a hash holds beside those inside a job."""


def kinds(base: type[StoredRecord]) -> Iterator[type[StoredRecord]]:
    for kind in base.__subclasses__():
        yield kind
        yield from kinds(kind)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a field may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_in(field.annotation)
    for part in get_args(annotation):
        yield from models_in(part)


@pytest.mark.parametrize("kind", [*kinds(StoredRecord), *IN_HASHES], ids=lambda kind: str(kind.__name__))
def test_nothing_in_a_record_refuses_what_it_does_not_know(kind: type[BaseModel]) -> None:
    assert {model for model in models_in(kind) if not issubclass(model, Stored)} == set()


@pytest.mark.parametrize("kind", list(kinds(StoredRecord)), ids=lambda kind: str(kind.__name__))
def test_every_record_says_its_version(kind: type[StoredRecord]) -> None:
    assert kind.model_fields["record_version"].default == VERSION


@pytest.mark.parametrize("kind", [JobSpec, ScaledAdapter, ResolvedAdapter])
def test_what_may_be_left_out_of_a_specification_is_null_by_default(kind: type[Stored]) -> None:
    """By which a worker that does not know the field knows that the job does without it."""
    assert {field.default for field in kind.model_fields.values() if not field.is_required()} <= {None}


def test_a_field_of_a_newer_version_is_kept_when_the_record_is_written_again() -> None:
    told = json.dumps({**manifest().model_dump(mode="json"), "weather": "fine"})

    again = read(Manifest, told, "The manifest").model_copy(update={"base": "f"}).model_dump_json()

    assert json.loads(again)["weather"] == "fine"


def test_a_record_of_a_newer_version_is_refused_by_name() -> None:
    newer = json.dumps({**manifest().model_dump(mode="json"), "record_version": VERSION + 1})

    with pytest.raises(RecordNotUnderstood, match=r"^The manifest was recorded by another version.*Try again soon"):
        read(Manifest, newer, "The manifest")


def test_a_record_without_a_version_is_of_the_first() -> None:
    assert read(Plan, '{"adapters": [], "groups": []}', "The plan").record_version == 1


def test_one_record_that_is_not_understood_hides_no_other(caplog: pytest.LogCaptureFixture) -> None:
    good, newer = manifest().model_dump_json(), json.dumps({"record_version": VERSION + 1})

    found = read_all(Manifest, {"One": good, "Another": newer, "A third": "{}", "Last": good})

    assert found == [manifest(), manifest()]
    assert [record.getMessage().partition(" was")[0] for record in caplog.records] == ["Another", "A third"]


def test_specifications_that_differ_in_a_field_of_a_newer_version_are_not_equal() -> None:
    newer = JobSpec.model_validate({**SPEC.model_dump(), "tiling": 2})

    assert newer != SPEC
    assert newer.unknown == ("tiling",)


def test_a_newer_field_that_is_null_asks_for_nothing() -> None:
    assert JobSpec.model_validate({**SPEC.model_dump(), "tiling": None}).unknown == ()


def test_a_newer_field_of_an_adapter_is_seen_too() -> None:
    adapter = {
        "ref": "a",
        "source": "folder",
        "repository": "a",
        "commit": "0" * 64,
        "weight_name": "a.safetensors",
        "base_model": "demo",
        "sha256": "0" * 64,
        "block_weights": [1],
    }
    spec = JobSpec.model_validate({**SPEC.model_dump(), "adapters": [{"adapter": adapter, "scale": 1, "start": 3}]})

    assert spec.unknown == ("block_weights", "start")
    assert "sha256" in spec.needs


def test_a_way_to_swap_of_a_newer_version_is_passed_over() -> None:
    assert Timings.model_validate({"swap_way": "teleported", "draw": 1}).swap_way is None
    assert Timings.model_validate({"swap_way": "merged"}).swap_way is SwapWay.MERGED


@pytest.mark.parametrize("request_kind", [JobRequest, Frozen])
def test_a_request_has_no_unknown_fields(request_kind: type[BaseModel]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        request_kind.model_validate({"prompt": "a", "tiling": 2})
