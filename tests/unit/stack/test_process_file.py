"""A file that is locked for as long as its process lives."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from stack.process_file import ProcessFile, ProcessFileLocked
from tests.support.waiting import wait_until


@pytest.fixture
def file(tmp_path: Path) -> ProcessFile:
    return ProcessFile(tmp_path / "run" / "part.pid")


def test_it_names_a_process(file: ProcessFile) -> None:
    with file.locked():
        file.write(4711)

    assert file.read() == 4711


def test_a_file_that_is_absent_or_locked_for_a_process_to_come_names_none(file: ProcessFile) -> None:
    assert file.read() is None

    with file.locked():
        assert file.read() is None


def test_it_is_locked_by_one_at_a_time(file: ProcessFile) -> None:
    with file.locked():
        assert file.is_locked()
        with pytest.raises(ProcessFileLocked), file.locked():
            pass

    assert not file.is_locked()


def test_it_stays_locked_until_the_last_child_of_the_process_is_gone(file: ProcessFile) -> None:
    script = "sleep 60 >/dev/null 2>&1 & echo $!"  # the shell ends at once, what it started does not
    with file.locked() as descriptor:
        shell = subprocess.run(["sh", "-c", script], pass_fds=(descriptor,), capture_output=True, check=True)

    assert file.is_locked()
    os.kill(int(shell.stdout), signal.SIGKILL)
    wait_until(lambda: not file.is_locked())


def test_a_reader_never_finds_a_file_that_is_half_written(tmp_path: Path) -> None:
    file = ProcessFile(tmp_path / "api.pid")
    file.write(1)

    def write_many() -> None:
        for pid in range(2, 2000):
            file.write(pid)

    writer = threading.Thread(target=write_many)

    writer.start()
    while writer.is_alive():
        assert file.read() in range(1, 2000)
    writer.join()

    assert file.read() == 1999
