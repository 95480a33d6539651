"""Every bounded wait of the tests scales with ``tests.support.waiting.BUSY``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
WAITS = {"wait", "join", "result", "settimeout"}
PAUSE_S = 1.0
"""Less is a pause that is meant to pass."""


def bare_bounds(source: str) -> Iterator[int]:
    """Yield the lines on which a wait is bounded by a bare number of seconds."""
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call) and any(is_bare(argument) for argument in bounds_of(call)):
            yield call.lineno


def bounds_of(call: ast.Call) -> Iterator[ast.expr]:
    if isinstance(call.func, ast.Attribute) and call.func.attr in WAITS:
        yield from (*call.args, *(keyword.value for keyword in call.keywords))
    else:
        yield from (keyword.value for keyword in call.keywords if keyword.arg == "timeout")


def is_bare(argument: ast.expr) -> bool:
    return isinstance(argument, ast.Constant) and isinstance(argument.value, int | float) and argument.value >= PAUSE_S


def test_no_wait_is_bounded_by_a_bare_number() -> None:
    found = {
        f"{path.relative_to(TESTS)}:{line}"
        for path in sorted(TESTS.rglob("*.py"))
        for line in bare_bounds(path.read_text("utf-8"))
    }

    assert not found, "take the bound from tests.support.waiting.patience"


@pytest.mark.parametrize("wait", ["thread.join(30)", "urlopen(url, timeout=5)", "store.wait(job, timeout_s=1.5)"])
def test_a_bare_bound_is_found(wait: str) -> None:
    assert list(bare_bounds(wait)) == [1]


@pytest.mark.parametrize("wait", ["thread.join()", "get(url, timeout=patience(5))", "over.wait(0.2)", "'a'.join(b)"])
def test_anything_else_is_no_bare_bound(wait: str) -> None:
    assert list(bare_bounds(wait)) == []
