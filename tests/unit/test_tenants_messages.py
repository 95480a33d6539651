"""What a tenant reads names nothing of our insides: no setting, no file of ours."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import tasks.errors
from tasks.errors import DrawingInterrupted, JobFailed, MachineFault, RequestError

ROOT = Path(__file__).parents[2]
FILES = sorted(path for room in ("api", "tasks", "workers") for path in (ROOT / room).rglob("*.py"))
INSIDES = ("STOKEHOLD_", "HF_HOME", "HF_HUB", "models.toml", "http://", "s3://")
TOLD = (RequestError, JobFailed, MachineFault, DrawingInterrupted)
NAMES = {name for name, kind in vars(tasks.errors).items() if isinstance(kind, type) and issubclass(kind, TOLD)} | {
    "Failure",
    "Field",
    "LineError",
}
"""Of what holds a sentence for a tenant; ``Field`` and ``description`` are in the public documentation of the API."""


def sentences(tree: ast.AST, *, of_api: bool) -> Iterator[str]:
    """The texts in the arguments of such calls, and the descriptions of the API's operations."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        told = name in NAMES - {"Field"} or (of_api and name == "Field")
        for keyword in node.keywords:
            if told or (of_api and keyword.arg == "description"):
                yield from texts(keyword.value)
        for argument in node.args if told else ():
            yield from texts(argument)


def texts(node: ast.AST) -> Iterator[str]:
    for one in ast.walk(node):
        if isinstance(one, ast.Constant) and isinstance(one.value, str):
            yield one.value


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_sentence_for_a_tenant_names_a_setting(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))

    told = [
        text for text in sentences(tree, of_api=path.is_relative_to(ROOT / "api")) for word in INSIDES if word in text
    ]

    assert told == []
