"""Imports run one way: api -> tasks -> storage, workers -> tasks -> storage; api and tasks never import torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "diffusers", "transformers", "peft"}
MAY_IMPORT = {
    "storage": set[str](),
    "tasks": {"storage"},
    "api": {"tasks", "storage"},
    "workers": {"tasks", "storage"},
}


def imported_packages(path: Path) -> set[str]:
    """The top-level names that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_a_package_imports_only_the_rooms_below_it(package: str) -> None:
    others = {*MAY_IMPORT, "stack", "demo", "tests", "benchmarks", "stokehold"} - MAY_IMPORT[package] - {package}
    strays = {
        str(path.relative_to(ROOT)): found
        for path in (ROOT / package).rglob("*.py")
        if (found := imported_packages(path) & others)
    }
    assert strays == {}


@pytest.mark.parametrize("module", ["api", "tasks.celery", "tasks.jobs.submission", "storage"])
def test_importing_does_not_import_torch(module: str) -> None:
    script = f"import sys, {module}; print(sorted({HEAVY!r} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
