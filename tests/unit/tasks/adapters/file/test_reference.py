"""How references are written, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote, unquote

import pytest
from hypothesis import example, given
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


@given(st.text(max_size=300))
def test_any_text_is_a_reference_or_is_refused(text: str) -> None:
    try:
        reference = AdapterReference.parse(text)
    except InvalidRequest:
        return

    assert AdapterReference.parse(str(reference)) == reference


@example(AdapterReference("a/b", None, "100%.safetensors"))
@example(AdapterReference("a/b", None, "%25.safetensors"))
@given(HUB_REFERENCES)
def test_a_reference_may_be_percent_encoded_as_a_whole_or_where_it_must(reference: AdapterReference) -> None:
    plain = unquote(str(reference))

    for unreserved in ("", "/@:"):
        assert AdapterReference.parse(quote(plain, safe=unreserved)) == reference


@given(HUB_REFERENCES)
def test_the_page_of_a_file_is_a_reference_to_it(reference: AdapterReference) -> None:
    revision = quote(reference.revision or "main", safe="")
    page = "tree" if reference.weight_name is None else "resolve"
    path = "" if reference.weight_name is None else f"/{quote(reference.weight_name)}?download=true"
    address = f"https://huggingface.co/{reference.repository}/{page}/{revision}{path}"

    assert AdapterReference.parse(address) == replace(reference, revision=reference.revision or "main")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pixel", AdapterReference("pixel")),
        ("pixel-art.v2_1", AdapterReference("pixel-art.v2_1")),
        ("nerijs/pixel-art-xl", AdapterReference("nerijs/pixel-art-xl")),
        ("nerijs/pixel-art-xl@refs/pr/1", AdapterReference("nerijs/pixel-art-xl", "refs/pr/1")),
        ("a/b:loras/My File @2.safetensors", AdapterReference("a/b", None, "loras/My File @2.safetensors")),
        ("a/b@v1.0:x.safetensors", AdapterReference("a/b", "v1.0", "x.safetensors")),
        ("a/b:100%.safetensors", AdapterReference("a/b", None, "100%.safetensors")),
        ("a/b%40refs%2Fpr%2F1%3Aloras%2Fx.safetensors", AdapterReference("a/b", "refs/pr/1", "loras/x.safetensors")),
        ("a/b:Stil%20%C3%9Cbung.safetensors", AdapterReference("a/b", None, "Stil Übung.safetensors")),
        ("https://huggingface.co/a/b", AdapterReference("a/b")),
        ("https://hf.co/a/b/", AdapterReference("a/b")),
        ("https://huggingface.co/a/b/tree/main", AdapterReference("a/b", "main")),
        ("https://HuggingFace.co/a/b/blob/main/x.safetensors#L1", AdapterReference("a/b", "main", "x.safetensors")),
        (
            "https://huggingface.co/a/b/resolve/refs/pr/1/loras/x.safetensors",
            AdapterReference("a/b", "refs/pr/1", "loras/x.safetensors"),
        ),
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
        f"a/b:{'%' * (MAX_REFERENCE_CHARACTERS // 2)}.safetensors",
        "a/b:%ff.safetensors",
        "a/b:x%2F%2E%2E%2Fy.safetensors",
        "https://huggingface.co/a",
        "https://huggingface.co/datasets/a/b",
        "https://huggingface.co/a/b/discussions/1",
        "https://huggingface.co/a/b/tree/main/loras",
        "https://huggingface.co/a/b/blob/main",
        "https://huggingface.co/a/b/blob/main/README.md",
        "https://huggingface.co/a/b/blob/main/%2e%2e/x.safetensors",
    ],
)
def test_what_is_malformed_too_long_or_leaves_its_repository_is_refused_with_the_expected_form(text: str) -> None:
    with pytest.raises(InvalidRequest, match=r"owner/name\[@revision\]\[:file.safetensors\]") as refused:
        AdapterReference.parse(text)

    assert refused.value.field is None
