"""Which trigger words a prompt lacks."""

from __future__ import annotations

import pytest

from tasks.adapters.lookup.trigger_words import occurs, trigger_warnings


@pytest.mark.parametrize(
    ("word", "prompt"),
    [
        ("pxl", "a cat, PXL style"),
        ("pixel art", "Pixel\n art of a cat"),
        ("(sks)", "a (sks) dog"),
        ("\u6c34\u5f69", "\u6c34\u5f69, a cat"),
        ("\u6c34\u5f69", "\u6c34\u5f69\u753b"),
        ("<s0>", "a <s0><s1> cat"),
        ("pxl", "apxl, pxl"),
        ("cat", "cat"),
    ],
)
def test_a_word_occurs_in_any_case_and_between_any_spaces(word: str, prompt: str) -> None:
    assert occurs(word, prompt)
    assert trigger_warnings("ada/pixel", [word], prompt) == ()


@pytest.mark.parametrize(("word", "prompt"), [("art", "a party"), ("pxl", "a cat"), ("pixel art", "art of pixels")])
def test_a_part_of_another_word_is_not_it(word: str, prompt: str) -> None:
    assert not occurs(word, prompt)


def test_the_warning_names_those_that_are_missing_alone() -> None:
    (warning,) = trigger_warnings("ada/pixel", ["pxl", "cat"], "a cat")

    assert warning == (
        "ada/pixel: Trigger words that the prompt does not hold: 'pxl'. Without them it may have little effect."
    )
