"""The order of the rooms: imports run one way, from a room to those before it; api and tasks never import torch."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.support.house import House, imported_packages, read_house

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "diffusers", "transformers", "peft"}
OUTSIDE = {"stack", "demo", "tests", "benchmarks", "stokehold"}
"""What uses the service, and is not part of it."""

ROOMS = {
    "storage": ["storage"],
    "tasks": [
        "tasks.errors",
        "tasks",
        "tasks.loops",
        "tasks.outbound",
        "tasks.objects",
        "tasks.adapters",
        "tasks.adapters.file",
        "tasks.base_models",
        "tasks.requests",
        "tasks.adapters.passport",
        "tasks.adapters.lookup",
        "tasks.adapters.catalogue",
        "tasks.jobs",
        "tasks.lanes",
        "tasks.client_jobs",
        "tasks.batches",
        "tasks.webhooks",
        "tasks.upkeep",
        "top of tasks",
        "tasks.backfill",
    ],
    "workers": [
        "workers",
        "workers.base",
        "workers.swap",
        "workers.adapters",
        "workers.stages",
        "workers.run",
        "top of workers",
    ],
    "api": ["api.server", "api.http", "api.v1", "api.compat", "api"],
}
"""The rooms of each package. A module imports from its own room and from those before it."""

TOP = {
    "tasks": {
        "api_client",
        "celery",
        "celery_transport",
        "celery_worker",
        "parts",
        "processes",
        "replay",
        "scratch",
        "service",
    },
    "workers": {"worker", "__main__"},
}
"""Modules that put the rooms together, and lie beside the ground floor."""

MAY_IMPORT = {"storage": set[str](), "tasks": {"storage"}, "workers": {"tasks", "storage"}, "api": {"tasks", "storage"}}
"""Packages that each package imports from."""


@pytest.fixture(scope="module")
def house() -> House:
    return read_house(ROOT)


def room_of(house: House, name: str) -> str:
    """The room of a module; the top of a package is one of its own."""
    package, _, module = name.partition(".")
    return f"top of {package}" if module in TOP.get(package, set()) else house.modules[name].room


def test_every_room_has_a_rank(house: House) -> None:
    ranked = {room for rooms in ROOMS.values() for room in rooms}

    assert {room_of(house, name) for name in house.modules} == ranked


def test_modules_import_from_their_own_room_and_those_before_it(house: House) -> None:
    rank = {room: number for rooms in ROOMS.values() for number, room in enumerate(rooms)}

    strays = {
        f"{source} -> {target}"
        for source, target in house.arrows
        if source.split(".")[0] == target.split(".")[0] and rank[room_of(house, source)] < rank[room_of(house, target)]
    }

    assert strays == set()


def entries(house: House) -> set[tuple[str, str]]:
    """The modules that another room imports, each with its room."""
    return {
        (room_of(house, target), target.rpartition(".")[2])
        for source, target in read_house(ROOT, [*MAY_IMPORT, "stack", "benchmarks"]).arrows
        if target in house.modules and house.modules[target].room not in (source, source.rpartition(".")[0])
    }


def test_a_room_is_entered_by_its_face(house: House) -> None:
    """``__all__`` of a room names the modules that others import: no more, and no fewer."""
    entered = entries(house)

    faces = {room for rooms in ROOMS.values() for room in rooms if "." in room} - {"tasks.adapters", "tasks.errors"}
    for room in faces:
        face = getattr(import_module(room), "__all__", [])
        assert list(face) == sorted(module for entered_room, module in entered if entered_room == room), room


@pytest.mark.parametrize("room", ["storage", "tasks.errors"])
def test_names_are_imported_from_the_room_and_not_from_its_modules(house: House, room: str) -> None:
    assert {module for entered_room, module in entries(house) if entered_room == room} == {room.rpartition(".")[2]}


def test_only_the_composition_root_names_the_class_of_the_storage() -> None:
    """Everything else is written for ``Storage``, so that another class can take its place."""
    files = [
        path
        for package in ("tasks", "workers", "api", "stack", "benchmarks")
        for path in (ROOT / package).rglob("*.py")
    ]

    naming = {str(path.relative_to(ROOT)) for path in files if "S3Storage" in path.read_text("utf-8")}

    assert naming == {"tasks/objects/storage_config.py"}


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_packages_import_only_those_below_them(package: str) -> None:
    others = {*MAY_IMPORT, *OUTSIDE} - MAY_IMPORT[package] - {package}

    strays = {
        str(path.relative_to(ROOT)): found
        for path in (ROOT / package).rglob("*.py")
        if (found := imported_packages(path) & others)
    }

    assert strays == {}


def test_importing_does_not_import_torch() -> None:
    modules = ("storage", "tasks.client_jobs.submission", "tasks.celery", "api")  # each imports those before it
    looks = (f"import {module}; print(sorted({HEAVY!r} & set(sys.modules)))" for module in modules)
    script = "\n".join(("import sys", *looks))

    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert dict(zip(modules, run.stdout.splitlines(), strict=True)) == dict.fromkeys(modules, "[]")
