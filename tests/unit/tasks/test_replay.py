"""From an image back to its request."""

from __future__ import annotations

import json
import struct
import zlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tasks.adapters.file.identity import AdapterSource, ResolvedAdapter
from tasks.base_models.registry import Scheduler
from tasks.errors import InvalidRequest
from tasks.fields import ImageFormat
from tasks.jobs.job import JobSpec, ScaledAdapter
from tasks.jobs.manifest import differences
from tasks.replay import main, read_manifest, request_of
from tasks.requests.job import MAX_SEED, JobRequest
from tests.support.jobs import SPEC, manifest
from workers.stages.encode import encode

ON_THE_HUB = ResolvedAdapter(
    ref="owner/name",
    source=AdapterSource.HUB,
    repository="owner/name",
    commit="a" * 40,
    weight_name="pytorch_lora_weights.safetensors",
    base_model="demo",
)
SPECS = st.builds(
    JobSpec,
    base_model=st.just("demo"),
    prompt=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=50),
    negative_prompt=st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    adapters=st.lists(st.builds(ScaledAdapter, adapter=st.just(ON_THE_HUB), scale=st.floats(-4, 4)), max_size=2).map(
        tuple
    ),
    width=st.just(64),
    height=st.just(64),
    steps=st.integers(1, 50),
    guidance_scale=st.floats(0, 100),
    scheduler=st.none() | st.sampled_from(Scheduler),
    clip_skip=st.none() | st.integers(1, 11),
    seed=st.integers(0, MAX_SEED),
    image_count=st.just(1),
    image_format=st.sampled_from(ImageFormat),
)


def image(spec: JobSpec = SPEC) -> bytes:
    return encode(Image.new("RGB", (8, 8)), manifest(spec).of_image(spec.seed))


WHOLE = image()


@given(SPECS)
def test_the_request_of_an_image_asks_for_just_what_made_it(spec: JobSpec) -> None:
    request = JobRequest.model_validate(request_of(read_manifest(image(spec)).spec))

    asked = request.model_dump(exclude={"adapters", "deadline_s", "webhook_url", "images"})
    assert asked == spec.model_dump(exclude={"adapters", "image_count"})
    assert [adapter.ref for adapter in request.adapters] == [
        f"owner/name@{'a' * 40}:pytorch_lora_weights.safetensors" for _ in spec.adapters
    ]
    assert [adapter.scale for adapter in request.adapters] == [scaled.scale for scaled in spec.adapters]


def test_the_command_prints_the_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "image.png").write_bytes(image())

    main([str(tmp_path / "image.png")])

    assert JobRequest.model_validate(json.loads(capsys.readouterr().out)).prompt == SPEC.prompt


@pytest.mark.parametrize(
    ("body", "reason"),
    [(b"no image", "not a readable image"), (b"", "not a readable image"), (None, "does not say what made it")],
)
def test_what_says_nothing_is_told(body: bytes | None, reason: str) -> None:
    if body is None:
        buffer = BytesIO()
        Image.new("RGB", (8, 8)).save(buffer, format="PNG")
        body = buffer.getvalue()

    with pytest.raises(InvalidRequest, match=reason):
        read_manifest(body)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"nothing\.png cannot be read"):
        main([str(tmp_path / "nothing.png")])


def test_the_facts_that_differ_are_named() -> None:
    then = manifest()
    now = manifest(base="f" * 16).model_copy(
        update={"environment": then.environment.model_copy(update={"versions": {"torch": "3.0"}})}
    )

    assert {fact.name for fact in differences(then, now)} == {"base", "versions.torch", "versions.stokehold"}
    assert differences(then, then.model_copy(update={"job": "other"})) == ()


def test_what_no_request_may_ask_for_is_told() -> None:
    with pytest.raises(InvalidRequest, match="steps"):
        request_of(SPEC.model_copy(update={"steps": 10**6}))


@settings(max_examples=100, deadline=None, database=None)
@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=4))
def test_a_damaged_image_is_read_or_refused(place: int, other: bytes) -> None:
    with suppress(InvalidRequest):
        read_manifest(WHOLE[:place] + other + WHOLE[place + len(other) :])


def test_an_image_that_claims_to_be_enormous_is_refused() -> None:
    header = struct.pack(">4sIIBBBBB", b"IHDR", 10**6, 10**6, 8, 2, 0, 0, 0)
    enormous = WHOLE[:12] + header + struct.pack(">I", zlib.crc32(header)) + WHOLE[33:]

    with pytest.raises(InvalidRequest, match="not a readable image"):
        read_manifest(enormous)
