"""``scripts/smoke`` as a newcomer runs it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.support.up import ENVIRONMENT, ROOT


def test_smoke_draws_one_image_with_each_adapter_and_one_without(tmp_path: Path) -> None:
    out = tmp_path / "out"

    smoke = subprocess.run(
        [ROOT / "scripts" / "smoke", "--out", out],
        cwd="/",
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert smoke.returncode == 0, smoke.stdout + smoke.stderr
    names = re.findall(r"^ *(\S+) +succeeded(?: +[0-9.]+){5}$", smoke.stdout, re.MULTILINE)
    assert names[0] == "none"
    assert len(names) > 1
    assert {path.name for path in out.iterdir()} == {f"{name}.png" for name in names}
    assert len({path.read_bytes() for path in out.iterdir()}) == len(names), "two adapters drew the same image"
