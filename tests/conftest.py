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
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

# No test asserts an absolute time: on a busy machine one example may take seconds.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

OF_WORKERS_THAT_STALL = ("tests/faults/test_hangs.py", "tests/faults/test_hostile_adapters.py")

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


class BySharedServers(LoadFileScheduling):  # type: ignore[misc] # pytest-xdist has no types
    """Gives each file to one process, and files of costly servers to the same one: a stack takes 25 s of CPU to start.

    The tests of faults are two halves, since together they would take longer than all others.
    """

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        if file.startswith("tests/faults/"):
            return "stalls" if file in OF_WORKERS_THAT_STALL else "faults"
        return "workers" if file.startswith("tests/integration/workers/") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> BySharedServers:
    """Let it give out the files."""
    return BySharedServers(config, log)
