"""How references are written, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.adapters.file.reference import MAX_REFERENCE_CHARACTERS, AdapterReference
from tasks.errors import InvalidRequest

WORD = st.from_regex(r"[A-Za-z0-9_]([A-Za-z0-9_.]?[A-Za-z0-9_-]?[A-Za-z0-9_]){0,5}", fullmatch=True)
WORD = WORD.filter(lambda word: "--" not in word and not word.endswith(".git"))
SEGMENT = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="\\:/"), min_size=1, max_size=12)
SEGMENT = SEGMENT.filter(lambda segment: segment not in {".", ".."})

LOCAL_REFERENCES = st.builds(AdapterReference, st.from_regex(r"[a-z0-9]([a-z0-9._-]?[a-z0-9-]){0,31}", fullmatch=True))
HUB_REFERENCES = st.builds(
    AdapterReference,
    repository=st.tuples(WORD, WORD).map("/".join),
    revision=st.none() | st.lists(WORD, min_size=1, max_size=3).map("/".join),
    weight_name=st.none() | st.lists(SEGMENT, min_size=1, max_size=3).map(lambda path: "/".join(path) + ".safetensors"),
)


@given(LOCAL_REFERENCES | HUB_REFERENCES)
def test_writing_a_reference_and_parsing_it_gives_it_back(reference: AdapterReference) -> None:
    assert AdapterReference.parse(str(reference)) == reference


@given(st.text(max_size=MAX_REFERENCE_CHARACTERS + 10))
def test_any_text_is_a_reference_that_spells_it_or_is_refused(text: str) -> None:
    try:
        reference = AdapterReference.parse(text)
    except InvalidRequest:
        return

    assert str(reference) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pixel", AdapterReference("pixel")),
        ("pixel-art.v2_1", AdapterReference("pixel-art.v2_1")),
        ("nerijs/pixel-art-xl", AdapterReference("nerijs/pixel-art-xl")),
        ("nerijs/pixel-art-xl@refs/pr/1", AdapterReference("nerijs/pixel-art-xl", "refs/pr/1")),
        ("a/b:loras/My File @2.safetensors", AdapterReference("a/b", None, "loras/My File @2.safetensors")),
        ("a/b@v1.0:x.safetensors", AdapterReference("a/b", "v1.0", "x.safetensors")),
    ],
)
def test_a_reference_is_read_part_by_part(text: str, expected: AdapterReference) -> None:
    assert AdapterReference.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Pixel",
        "pixel art",
        "pixel@main",
        "pixel:x.safetensors",
        "a..b",
        "pixel\n",
        "/etc/passwd",
        "../loras",
        "a/../b",
        "a/b/c",
        "a--b/c",
        "a/b.git",
        "-a/b",
        "a\\b/c",
        "a/b@",
        "a/b@../main",
        "a/b@-f",
        "a/b:",
        "a/b:x.bin",
        "a/b:/x.safetensors",
        "a/b:../x.safetensors",
        "a/b:x//y.safetensors",
        "a/b:c:x.safetensors",
        "a/b:x\\y.safetensors",
        "a/b:x\0.safetensors",
        "a/b:\ud800.safetensors",
        "p" * 65,
        f"a/{'b' * 97}",
        f"a/b:{'x' * MAX_REFERENCE_CHARACTERS}.safetensors",
    ],
)
def test_what_is_malformed_too_long_or_leaves_its_repository_is_refused_with_the_expected_form(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"owner/name\[@revision\]\[:file.safetensors\]") as refused:
        AdapterReference.parse(text)

    assert refused.value.field is None
