"""``stokehold``: the list of its commands, and what each hands on."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner

import stokehold
from tasks import __version__
from tests.support.up import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PACKAGES = [pattern.rstrip("*") for pattern in PYPROJECT["tool"]["setuptools"]["packages"]["find"]["include"]]
WITHOUT_TORCH = sorted(set(stokehold.COMMANDS) - {"worker"})


def test_the_list_has_every_command_with_its_sentence() -> None:
    answer = CliRunner().invoke(stokehold.main, ["--help"])

    words = answer.output.split()
    assert answer.exit_code == 0
    assert all(name in words for name in stokehold.COMMANDS)
    assert all(" ".join(sentence.split()) in " ".join(words) for _, sentence in stokehold.COMMANDS.values())


def test_the_version_is_that_of_the_package() -> None:
    assert __version__ in CliRunner().invoke(stokehold.main, ["--version"]).output
    assert PYPROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "tasks.__version__"}


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_help_is_that_of_the_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    answer = CliRunner().invoke(stokehold.main, [name, "--help"])

    assert answer.exit_code == 0
    assert f"usage: stokehold {name}" in (answer.output + capsys.readouterr().out).lower()


def test_every_command_has_a_module() -> None:
    assert [module for module, _ in stokehold.COMMANDS.values() if find_spec(module) is None] == []


def test_arguments_reach_the_command_as_they_were_given(tmp_path: Path) -> None:
    missing = tmp_path / "--missing.png"

    answer = CliRunner().invoke(stokehold.main, ["replay", "--manifest", "--", str(missing)])

    assert answer.exit_code != 0
    assert f"{missing} cannot be read" in str(answer.exception)


def test_a_command_whose_packages_are_missing_names_them() -> None:
    answer = CliRunner().invoke(stokehold.ModuleCommand("draw", "no_such_module", "Draw."), [])

    assert "draw needs no_such_module, which is not installed" in str(answer.exception)


def test_a_command_imports_no_more_than_it_needs() -> None:
    script = (
        "import sys, stokehold\n"
        "try: stokehold.main(['keys', '--help'])\n"
        "except SystemExit: print('loaded:', {'torch', 'diffusers', 'stack', 'workers'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)

    assert run.stdout.splitlines()[-1] == "loaded: set()"


def test_an_installed_package_has_the_command() -> None:
    module, _, name = PYPROJECT["project"]["scripts"]["stokehold"].partition(":")

    assert getattr(import_module(module), name) is stokehold.main


@pytest.mark.parametrize("package", PACKAGES)
def test_an_installed_package_has_every_file_of_a_room(package: str) -> None:
    packed = {".py", *(pattern.lstrip("*") for pattern in PYPROJECT["tool"]["setuptools"]["package-data"]["*"])}
    files = [path for path in (ROOT / package).rglob("*") if path.is_file() and path.suffix != ".pyc"]

    assert files
    assert [str(path) for path in files if path.suffix not in packed] == []
