"""``scripts/setup``, on a copy of it beside requirements and locks of the test's own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.up import ROOT

PYTHON = """#!/bin/sh
case "$1 $2" in
"-c "*) exit {unsupported} ;;
"-V "*) echo "Python 3.9.2" ;;
"-m venv") mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
"-m pip") shift 2; echo "pip $*" >>pip-calls ;;
esac
"""
"""A Python that only notes what is asked of it."""

RUNS = ["requirements.lock", "requirements.txt"]
"""What is installed to run the service, in this order."""


class Checkout:
    """A folder with ``scripts/setup``, and two requirements files with their locks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "scripts").mkdir(parents=True)
        shutil.copy(ROOT / "scripts" / "setup", folder / "scripts" / "setup")
        (folder / "requirements.txt").write_text("celery==5.7.0\n")
        (folder / "requirements-dev.txt").write_text("-r requirements.txt\npytest==9.2.0\n")
        (folder / "requirements.lock").write_text("celery==5.7.0 --hash=sha256:1\n")
        (folder / "requirements-dev.lock").write_text("-r requirements.lock\npytest==9.2.0 --hash=sha256:2\n")

    def python(self, *, supported: bool = True) -> Path:
        """The Python of this machine."""
        path = self.folder / "python-of-this-machine"
        path.write_text(PYTHON.format(unsupported=int(not supported)))
        path.chmod(0o755)
        return path

    def setup(self, *arguments: str, python: Path) -> subprocess.CompletedProcess[str]:
        """Run ``scripts/setup`` from elsewhere."""
        return subprocess.run(
            [self.folder / "scripts" / "setup", *arguments],
            cwd="/",
            env={**os.environ, "PYTHON": str(python)},
            capture_output=True,
            text=True,
            check=False,
        )

    @property
    def installed(self) -> list[str]:
        """Which files were installed, in order."""
        return [call.split()[-1] for call in self.pip_calls]

    @property
    def pip_calls(self) -> list[str]:
        """What pip was called with."""
        calls = self.folder / "pip-calls"
        return calls.read_text().splitlines() if calls.exists() else []


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "check out")


def test_the_first_setup_makes_the_environment_and_installs(checkout: Checkout) -> None:
    setup = checkout.setup(python=checkout.python())

    assert setup.returncode == 0, setup.stderr
    assert checkout.installed == RUNS


def test_the_next_setup_installs_nothing(checkout: Checkout) -> None:
    for _ in range(2):
        checkout.setup(python=checkout.python())

    assert checkout.installed == RUNS


def test_changed_requirements_are_installed(checkout: Checkout) -> None:
    checkout.setup(python=checkout.python())
    (checkout.folder / "requirements.txt").write_text("celery==5.8.0\n")
    checkout.setup(python=checkout.python())

    assert checkout.installed == [*RUNS, *RUNS]


def test_a_changed_lock_is_installed(checkout: Checkout) -> None:
    checkout.setup(python=checkout.python())
    (checkout.folder / "requirements.lock").write_text("celery==5.7.0 --hash=sha256:3\n")
    checkout.setup(python=checkout.python())

    assert checkout.installed == [*RUNS, *RUNS]


def test_what_is_in_the_lock_must_have_its_hash(checkout: Checkout) -> None:
    checkout.setup(python=checkout.python())

    assert [("--require-hashes" in call, "--no-deps" in call) for call in checkout.pip_calls] == [
        (True, True),
        (False, False),
    ]


def test_what_the_tests_need_is_installed_besides(checkout: Checkout) -> None:
    for arguments in ((), ("requirements-dev.txt",), (), ("requirements-dev.txt",)):
        checkout.setup(*arguments, python=checkout.python())

    assert checkout.installed == [*RUNS, "requirements-dev.lock", "requirements-dev.txt"]


def test_an_unsupported_python_is_named_with_what_is_needed(checkout: Checkout) -> None:
    python = checkout.python(supported=False)

    setup = checkout.setup(python=python)

    assert setup.returncode == 1
    assert f"needs Python 3.11 to 3.13; {python} is Python 3.9.2" in setup.stderr
    assert checkout.installed == []


def test_a_python_that_is_missing_is_named(checkout: Checkout) -> None:
    setup = checkout.setup(python=Path("/nowhere/python3"))

    assert setup.returncode != 0
    assert "/nowhere/python3" in setup.stderr
