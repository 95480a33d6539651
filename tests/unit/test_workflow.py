"""The workflow that checks every change, and what it has in common with the project."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import yaml
from packaging.specifiers import SpecifierSet

from tests.support.up import ROOT

TEXT = (ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8")
WORKFLOW: dict[str, Any] = yaml.safe_load(TEXT)
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT: dict[str, Any] = PYPROJECT["project"]


def test_every_action_is_pinned_to_a_commit_and_names_its_version() -> None:
    actions = re.findall(r"uses: *(.*)", TEXT)

    assert actions
    assert [action for action in actions if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)] == []


def test_no_job_may_write() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in WORKFLOW["jobs"].values())
    assert "persist-credentials: false" in TEXT


def test_every_job_ends() -> None:
    assert all(0 < job["timeout-minutes"] <= 60 for job in WORKFLOW["jobs"].values())


def test_every_supported_python_is_tested() -> None:
    tested: list[str] = WORKFLOW["jobs"]["check"]["strategy"]["matrix"]["python"]
    named = re.findall(r"Programming Language :: Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    supported = [f"3.{minor}" for minor in range(30) if SpecifierSet(PROJECT["requires-python"]).contains(f"3.{minor}")]

    assert tested == named == supported


def test_it_runs_what_a_change_must_pass_here() -> None:
    here = re.findall(r"^scripts/\w+", (ROOT / ".ci" / "run").read_text("utf-8"), re.MULTILINE)
    there = [
        step["run"].removesuffix(" ${{ matrix.options }}")
        for step in WORKFLOW["jobs"]["check"]["steps"]
        if "run" in step
    ]

    assert there[-len(here) :] == here


def test_one_python_holds_the_floor_of_coverage() -> None:
    matrix = WORKFLOW["jobs"]["check"]["strategy"]["matrix"]

    assert matrix["include"] == [{"python": "3.13", "options": "--cov"}]
    assert PYPROJECT["tool"]["coverage"]["report"]["fail_under"] > 0
