"""Which file of a repository is the adapter, and what its users are told of the others."""

from __future__ import annotations

import pytest

from tasks.adapters.lookup.weight_files import WeightFile, choose_weight_file
from tasks.errors import AdapterNotUsable

USUAL = "pytorch_lora_weights.safetensors"
EMBEDDINGS = "Trigger words that were trained as new tokens have no effect."


def choose(*files: str, asked: str | None = None) -> WeightFile:
    return choose_weight_file("ada/pixel", files, asked)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (("checkpoint-1000/pixel.safetensors", "checkpoint-500/pixel.safetensors", "pixel.safetensors"), "pixel"),
        (("loras/v1.safetensors", "pixel.safetensors", "z/v2.safetensors"), "pixel"),
        (("pixel.safetensors", "pixel_000000250.safetensors", "pixel_000000500.safetensors"), "pixel"),  # ai-toolkit
        (("pixel-000010.safetensors", "pixel-step00000500.safetensors", "pixel.safetensors"), "pixel"),  # kohya
        (("out/pixel-000010.safetensors", "out/pixel.safetensors"), "out/pixel"),
        (("pixel.safetensors", "pixel_emb.safetensors"), "pixel"),
        (("learned_embeds.safetensors", "pixel.safetensors"), "pixel"),
        (("loras/pixel.safetensors",), "loras/pixel"),
        (("pixel_emb.safetensors",), "pixel_emb"),
        (("pixel-000010.safetensors",), "pixel-000010"),
        (("z.safetensors", USUAL, f"checkpoint-500/{USUAL}"), USUAL.removesuffix(".safetensors")),
    ],
)
def test_one_file_goes_before_the_others(files: tuple[str, ...], expected: str) -> None:
    assert choose(*files).path == f"{expected}.safetensors"
    assert choose(*reversed(files)).path == f"{expected}.safetensors"


@pytest.mark.parametrize(
    ("files", "example"),
    [
        (("checkpoint-1000/a.safetensors", "b.safetensors", "c.safetensors"), "b.safetensors"),
        (("checkpoint-1000/a.safetensors", "loras/v1.safetensors", "loras/v2.safetensors"), "loras/v1.safetensors"),
        (("a_emb.safetensors", "b.safetensors", "c.safetensors"), "b.safetensors"),
        (("v1-000010.safetensors", "v1.safetensors", "v2.safetensors"), "v1.safetensors"),
    ],
)
def test_where_several_have_the_same_right_the_example_is_one_that_a_reader_would_choose(
    files: tuple[str, ...], example: str
) -> None:
    with pytest.raises(AdapterNotUsable, match=f"Choose one: ada/pixel:{example}$"):
        choose(*files)


def test_a_choice_is_told_with_what_was_left() -> None:
    chosen = choose("pixel.safetensors", "checkpoint-500/pixel.safetensors")

    assert chosen.warnings == (
        "Of 2 weight files of its repository, pixel.safetensors is used; the others: checkpoint-500/pixel.safetensors.",
    )


def test_of_many_others_the_first_are_named() -> None:
    (warning,) = choose("pixel.safetensors", *(f"old/{number}.safetensors" for number in range(30))).warnings

    assert "Of 31 weight files" in warning
    assert warning.endswith(" and 20 more.")


def test_nothing_is_told_where_there_was_no_choice_or_the_client_made_it() -> None:
    assert choose("pixel.safetensors", "README.md").warnings == ()
    assert choose("a.safetensors", "b.safetensors", asked="b.safetensors").warnings == ()


@pytest.mark.parametrize(
    "beside", ["pixel_emb.safetensors", "embeddings.pti", "learned_embeds.bin", "v2/pixel-embeddings.safetensors"]
)
def test_embeddings_beside_the_adapter_are_told_of(beside: str) -> None:
    for asked in (None, "pixel.safetensors"):
        (warning,) = choose("pixel.safetensors", beside, asked=asked).warnings

        assert beside in warning
        assert warning.endswith(EMBEDDINGS)


@pytest.mark.parametrize("beside", ["emblem.png", "member.safetensors.md", "embroidery.txt"])
def test_what_only_sounds_like_embeddings_is_not(beside: str) -> None:
    assert choose("pixel.safetensors", beside).warnings == ()
