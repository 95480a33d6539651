"""What a tenant may read, in a problem document or a record, tells nothing of the inside of the service."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks import errors
from tests.support.up import ROOT

TOLD = (errors.RequestError, errors.JobFailed, errors.MachineFault)
"""Their messages reach a tenant. Those of ``ServiceUnavailable`` go to the log: of these only the title is told."""

NAMES = {name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, TOLD)}

NOT_FOR_TENANTS = ("tasks/backfill/", "tasks/replay.py", "api/key_commands.py", "tasks/api_keys.py")
"""Command lines, and what only they meet."""

INSIDE = re.compile(
    r"STOKEHOLD_|models\.toml|HF_[A-Z]|\.env\b|scripts/|docs/|/tmp|/var|bucket|endpoint|host\b|localhost|127\.0|redis|"
    r"valkey|celery|gunicorn|s3|\.py\b|traceback|errno|\{path\}|\{folder\}|__name__|\{url",
    re.IGNORECASE,
)
OF_THE_REQUEST = {"tasks/webhooks/target.py", "tasks/safe_http.py", "api/web_pages.py"}
"""They speak of the host or the URL that the request itself names."""


def sources() -> Iterator[Path]:
    for package in ("api", "tasks", "workers"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if not str(path.relative_to(ROOT)).startswith(NOT_FOR_TENANTS):
                yield path


def messages(path: Path) -> Iterator[tuple[int, str]]:
    """Where errors are made that a tenant may read, and what they say, values as they are written in the code."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NAMES and node.args:
            yield node.lineno, ast.unparse(node.args[0])


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
    tree = ast.parse(path.read_text("utf-8"))
    handlers = [
        handler
        for handler in ast.walk(tree)
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
