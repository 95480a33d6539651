"""What a tenant may read, in a problem document, a record or the API's documentation, tells nothing of our insides."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tasks import errors
from tests.support.up import ROOT

TOLD = (errors.RequestError, errors.JobFailed, errors.MachineFault, errors.DrawingInterrupted)
"""Their messages reach a tenant. Those of ``ServiceUnavailable`` go to the log: of these only the title is told."""

NAMES = {name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, TOLD)} | {
    *("Failure", "LineError"),
}

NOT_FOR_TENANTS = ("tasks/backfill/", "tasks/replay.py", "api/key_commands.py", "tasks/keys.py")
"""Command lines, and what only they meet."""

INSIDE = re.compile(
    r"STOKEHOLD_|models\.toml|HF_[A-Z]|\.env\b|scripts/|docs/|/tmp|/var|bucket|endpoint|host\b|localhost|127\.0|redis|"
    r"valkey|celery|gunicorn|s3|\.py\b|traceback|errno|\{path\}|\{folder\}|__name__|\{url",
    re.IGNORECASE,
)
SETTINGS = re.compile(r"STOKEHOLD_|HF_HOME|HF_HUB|models\.toml")
"""What no description in the API's documentation names; it may speak of URLs and hosts."""
OF_THE_REQUEST = {
    "tasks/outbound/file_source.py",
    "tasks/outbound/webhook_target.py",
    "tasks/outbound/safe_http.py",
    "api/http/web_pages.py",
}
"""They speak of the host or the URL that the request itself names."""


def sources() -> Iterator[Path]:
    for package in ("api", "tasks", "workers"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if not str(path.relative_to(ROOT)).startswith(NOT_FOR_TENANTS):
                yield path


@cache
def nodes_of(path: Path) -> list[ast.AST]:
    """Every node of a module, which each test looks through."""
    return list(ast.walk(ast.parse(path.read_text("utf-8"))))


def messages(path: Path) -> Iterator[tuple[int, str]]:
    """Where errors are made that a tenant may read, and what they say, values as they are written in the code."""
    for node in nodes_of(path):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NAMES:
            yield from ((node.lineno, ast.unparse(value)) for value in (*node.args[:1], *keywords(node, "message")))


def descriptions(path: Path) -> Iterator[tuple[int, str]]:
    """Where the API's documentation is written, and what it says."""
    for node in nodes_of(path):
        if isinstance(node, ast.Call):
            yield from ((node.lineno, ast.unparse(value)) for value in keywords(node, "description"))


def keywords(call: ast.Call, name: str) -> Iterator[ast.expr]:
    """The values of a call's arguments of this name."""
    return (keyword.value for keyword in call.keywords if keyword.arg == name)


def test_messages_are_found() -> None:
    assert sum(1 for path in sources() for _ in messages(path)) > 60


@pytest.mark.parametrize("path", list(sources()), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_message_names_what_is_inside(path: Path) -> None:
    forbidden = INSIDE
    if str(path.relative_to(ROOT)) in OF_THE_REQUEST:
        forbidden = re.compile(INSIDE.pattern.replace(r"host\b|", "").replace(r"|\{url", ""), re.IGNORECASE)

    telling = [f"{line}: {message}" for line, message in messages(path) if forbidden.search(message)]

    assert telling == []


@pytest.mark.parametrize("path", list(sources()), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_message_repeats_an_error_of_the_system(path: Path) -> None:
    handlers = [
        handler
        for handler in nodes_of(path)
        if isinstance(handler, ast.ExceptHandler) and re.search(r"OSError|StorageError|Unavailable", written(handler))
    ]

    telling = [
        f"{call.lineno}: {ast.unparse(call.args[0])}"
        for handler in handlers
        for call in ast.walk(handler)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in NAMES and call.args
        if re.search(rf"{{{handler.name}[!}}:]|str\({handler.name}\)", ast.unparse(call.args[0]))
    ]

    assert telling == [], "such errors name files and hosts"


def written(handler: ast.ExceptHandler) -> str:
    return "" if handler.type is None else ast.unparse(handler.type)


@pytest.mark.parametrize("path", sorted((ROOT / "api").rglob("*.py")), ids=lambda path: path.name)
def test_no_description_of_the_api_names_a_setting(path: Path) -> None:
    assert [f"{line}: {text}" for line, text in descriptions(path) if SETTINGS.search(text)] == []
