"""``scripts/soak``, for a few seconds."""

from __future__ import annotations

import json
import subprocess

from tests.support.up import ENVIRONMENT, ROOT


def test_a_short_soak_ends_with_a_clean_ledger() -> None:
    soak = subprocess.run(
        [ROOT / "scripts" / "soak", "0.05", "--seed", "15", "--json"],
        cwd="/",
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert soak.returncode == 0, soak.stdout + soak.stderr
    ledger = json.loads(soak.stdout)
    assert ledger["submitted"] == ledger["succeeded"] + ledger["failed"] + ledger["canceled"] > 0
    assert ledger["faults"]
