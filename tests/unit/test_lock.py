"""The locks that ``scripts/lock`` writes, against the requirements that they are made from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.up import ROOT

LOCKS = ("requirements", "requirements-dev")
PYTHONS = ("3.11", "3.12", "3.13")
ONLY_FOR_CUDA = re.compile(r"torch|triton|(nvidia|cuda)-.*")
"""What no lock has: pip chooses these for the machine."""


def lines(name: str) -> Iterator[str]:
    """The lines of a file and of those that it includes, continued ones joined, without comments."""
    for line in (ROOT / name).read_text("utf-8").replace("\\\n", "").splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("-r "):
            yield from lines(text.removeprefix("-r "))
        elif text:
            yield text


@cache
def requirements(name: str) -> list[Requirement]:
    """The requirements of a file, without their hashes."""
    return [Requirement(line.partition(" --hash=")[0]) for line in lines(name)]


@cache
def on_linux(python: str) -> Mapping[str, str]:
    """What markers are compared with."""
    environment = {key: str(value) for key, value in default_environment().items()}
    return {**environment, "python_version": python, "python_full_version": f"{python}.9", "sys_platform": "linux"}


@cache
def locked(name: str, python: str) -> Mapping[str, str]:
    """Version of each package that a lock installs on Linux."""
    environment = {**on_linux(python)}
    return {
        canonicalize_name(one.name): str(one.specifier)
        for one in requirements(f"{name}.lock")
        if one.marker is None or one.marker.evaluate(environment)
    }


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", LOCKS)
def test_every_requirement_is_locked_at_its_version(name: str, python: str) -> None:
    versions = locked(name, python)
    wanted: dict[str, str] = {canonicalize_name(one.name): str(one.specifier) for one in requirements(f"{name}.txt")}
    del wanted["torch"]

    assert {package: versions.get(package) for package in wanted} == wanted


@pytest.mark.parametrize("name", LOCKS)
def test_every_line_has_one_version_and_its_hashes(name: str) -> None:
    loose = [
        line
        for line in lines(f"{name}.lock")
        if not re.fullmatch(r"[^= ]+==\S+( ; .*?)?( +--hash=sha256:\w{64})+", line)
    ]

    assert loose == []


@pytest.mark.parametrize("name", LOCKS)
def test_no_package_is_locked_that_differs_between_cpus_and_gpus(name: str) -> None:
    assert [one.name for one in requirements(f"{name}.lock") if ONLY_FOR_CUDA.fullmatch(one.name)] == []


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("name", LOCKS)
def test_what_a_locked_package_needs_is_locked_as_well(name: str, python: str) -> None:
    versions = locked(name, python)
    missing = {
        (package, needed)
        for package in [*versions, "torch"]
        for needed in needs(package, python)
        if needed not in versions and not ONLY_FOR_CUDA.fullmatch(needed)
    }

    assert missing == set()


def needs(package: str, python: str) -> set[str]:
    """What a package needs on Linux without its extras; nothing if this Python does not have it."""
    try:
        wanted = map(Requirement, distribution(package).requires or [])
    except PackageNotFoundError:
        return set()
    environment = {**on_linux(python), "extra": ""}
    return {canonicalize_name(one.name) for one in wanted if one.marker is None or one.marker.evaluate(environment)}
