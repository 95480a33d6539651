"""Names for files whose names no request can write."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tasks.adapters.file.reference import AdapterReference
from tasks.adapters.lookup.folder_names import is_name, names_of, slug_of, suffixed, title_of

PARTS = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=80).filter(
    lambda part: not part.startswith(".")
)
WORDS = st.sampled_from(["neon", "Neon", "NEON", "neon xl", "neon-xl", "ネオン", "v1.0", "neon..xl", "Näon", "💡", "-"])
ENDINGS = st.sampled_from([".safetensors", ".safetensors", ".SafeTensors", ".pt"])
PATHS = st.builds(
    lambda folders, stem, ending: "/".join([*folders, stem + ending]),
    st.lists(PARTS | WORDS, max_size=2),
    PARTS | WORDS,
    ENDINGS,
)


@pytest.mark.parametrize(
    ("path", "slug"),
    [
        ("Neon Style XL.safetensors", "neon-style-xl"),
        ("Add_Detail.safetensors", "add_detail"),
        ("水彩.safetensors", "shuicai"),
        ("Акварель.safetensors", "akvarel"),
        ("v1.0.safetensors", "v1.0"),
        ("styles/Neon (v2.1).safetensors", "neon-v2.1"),
        ("a  --  b.safetensors", "a-b"),
        ("a...b.safetensors", "a.b"),
        ("_neon_.safetensors", "neon"),
        ("!!!.safetensors", "adapter"),
        (f"{'A' * 200}.safetensors", "a" * 64),
    ],
)
def test_a_slug_keeps_what_can_be_read_of_a_name(path: str, slug: str) -> None:
    assert slug_of(path) == slug
    assert names_of(frozenset({path})).of == {path: slug}


def test_a_title_is_the_path_without_its_ending() -> None:
    assert title_of("styles/Neon XL v1.0.safetensors") == "styles/Neon XL v1.0"


def test_two_that_would_share_a_name_get_one_each() -> None:
    paths = {"Neon.safetensors", "styles/NEON.safetensors"}

    names = names_of(frozenset(paths))

    assert names.of == {path: suffixed(path) for path in paths}
    assert set(names.shared["neon"]) == set(names.of.values())
    assert "neon" not in names.paths


def test_a_name_that_a_request_can_write_stays_whatever_else_is_there() -> None:
    names = names_of(frozenset({"neon.safetensors", "Neon.safetensors", "styles/neon.safetensors"}))

    assert names.of["neon.safetensors"] == "neon"
    assert names.paths["neon"] == "neon.safetensors"


def test_a_pickle_takes_no_name_from_an_adapter() -> None:
    names = names_of(frozenset({"Neon.safetensors", "Neon.pt"}))

    assert names.of["Neon.safetensors"] == "neon"


@settings(max_examples=40)
@given(st.sets(PATHS, max_size=12))
@example({"Neon.safetensors", "Neon.SafeTensors", "Neon.pt"})
@example({"Neon.safetensors", "NEON.safetensors", f"{suffixed('NEON.safetensors')}.safetensors"})
def test_every_file_has_a_name_of_its_own_that_a_request_can_write(paths: set[str]) -> None:
    names = names_of(frozenset(paths))

    assert names.of.keys() == paths
    assert len(set(names.of.values())) == len(paths)
    assert all(names.paths[name] == path for path, name in names.of.items())
    assert all(AdapterReference.parse(name).is_name for name in (*names.paths, *names.shared))
    assert not names.paths.keys() & names.shared.keys()


@settings(max_examples=40)
@given(st.lists(PATHS, max_size=8, unique=True), st.randoms())
def test_names_depend_on_no_order_and_are_the_same_again(paths: list[str], random: object) -> None:
    first = names_of.__wrapped__(frozenset(paths))
    random.shuffle(paths)  # type: ignore[attr-defined]

    assert names_of.__wrapped__(frozenset(paths)) == first


@settings(max_examples=40)
@given(st.sets(PATHS, min_size=1, max_size=8), PATHS)
def test_the_name_with_the_suffix_outlives_a_file_that_comes_later(paths: set[str], later: str) -> None:
    before, after = names_of(frozenset(paths)), names_of(frozenset({*paths, later}))

    for path in paths:
        if not is_name(path):
            assert after.paths[suffixed(path)] == before.paths[suffixed(path)] == path
