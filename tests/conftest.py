"""The selection and the order of the tests.

Torch takes seconds to import: a run without it (``-m "not torch"``) never opens the files that need it. The slow files
begin first, so that none of them is left over for one process at the end.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# No test asserts an absolute time: on a busy machine one example may take seconds.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

NEEDS_TORCH = re.compile(r"^pytestmark = (\[\s*)?pytest\.mark\.torch\b", re.MULTILINE)


def leaves_torch_out(config: pytest.Config) -> bool:
    """Tell whether the expression after ``-m`` says "not torch", alone or with "and"."""
    return "not torch" in config.getoption("-m").split(" and ")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Ignore a file that is marked as a whole: pytest would import it before it reads its markers."""
    if collection_path.suffix == ".py" and leaves_torch_out(config):
        return NEEDS_TORCH.search(collection_path.read_text("utf-8")) is not None or None
    return None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slow files first."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(autouse=True)
def without_torch(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that has brought torch into a run without it."""
    yield
    if leaves_torch_out(request.config):
        assert "torch" not in sys.modules, "This test, or its file, needs the marker torch."
