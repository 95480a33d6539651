"""The temporary folder of a process, and those that killed ones leave behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.scratch import own_scratch
from tests.support.up import ROOT

HOLD = """
import multiprocessing.util, tempfile, time
from tasks.scratch import own_scratch
with own_scratch() as folder:
    tempfile.mkdtemp(); multiprocessing.util.get_temp_dir()
    print(folder, flush=True)
    time.sleep(1000)
"""


@pytest.fixture(autouse=True)
def _root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield
    tempfile.tempdir = None


def other_process() -> tuple[subprocess.Popen[str], Path]:
    """A process with a temporary folder of its own."""
    process = subprocess.Popen([sys.executable, "-c", HOLD], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_what_a_process_makes_lies_in_its_folder_and_goes_with_it(tmp_path: Path) -> None:
    with own_scratch() as folder:
        made = Path(tempfile.mkdtemp())
        assert made.parent == folder
        assert os.environ["TMPDIR"] == str(folder)

    assert list(tmp_path.iterdir()) == []
    assert tempfile.gettempdir() == str(tmp_path)


def test_the_folder_of_a_killed_process_is_removed_by_the_next_one_and_that_of_a_living_one_is_not(
    tmp_path: Path,
) -> None:
    (killed, left), (living, used) = other_process(), other_process()
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    (tmp_path / "stokehold-of-somebody-else").mkdir()
    (tmp_path / "pymp-of-somebody-else").mkdir()
    assert len(list(left.iterdir())) == 3

    with own_scratch() as mine:
        assert {path.name for path in tmp_path.iterdir()} == {
            *("stokehold-of-somebody-else", "pymp-of-somebody-else"),
            *(used.name, mine.name),
        }

    living.kill()
    living.communicate()
