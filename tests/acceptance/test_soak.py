"""``scripts/soak``, for a few seconds."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from stack.history.checker import check
from stack.history.recorder import read_history
from tests.support.up import ENVIRONMENT, ROOT

pytestmark = pytest.mark.slow


def test_a_short_soak_is_clean_and_leaves_a_history_that_can_be_checked_again(tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"

    soak = subprocess.run(
        [ROOT / "scripts" / "soak", "0.2", "--seed", "15", "--json", "--history", history],
        cwd="/",
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert soak.returncode == 0, soak.stdout + soak.stderr
    report = json.loads(soak.stdout)
    assert report["submitted"] > 0
    assert report["lost"] == report["twice"] == report["orphans"] == 0
    assert report["faults"]
    assert report["operations"]["submit_job"]["ok"] > 0
    assert report["violations"] == [violation.as_dict() for violation in check(read_history(history))] == []
