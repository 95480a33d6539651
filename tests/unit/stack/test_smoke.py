"""The output of the smoke run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from stack.smoke import Outcome, save, table

TIMINGS = {"queued": 0.0214, "adapter": 0.5, "swap": 0.1234, "draw": 1.5, "publish": 0.04, "swap_way": "merged"}
URL = "http://127.0.0.1:8002/stokehold/images/1/1/0.webp?X-Amz-Signature=f00"


def record(**changes: Any) -> dict[str, Any]:
    return {"status": "succeeded", "timings": TIMINGS, "images": [{"url": URL}], "error": None, **changes}


FAILED = record(
    status="failed",
    timings=dict.fromkeys(TIMINGS),
    images=[],
    error={"code": "drawing_failed", "message": "The pipeline raised."},
)


def test_the_table_has_a_line_for_each_job() -> None:
    lines = table([Outcome("pixel", record(), b"image"), Outcome("neon", FAILED, None)]).splitlines()

    assert [line.split() for line in lines] == [
        ["adapter", "status", "queued", "adapter", "swap", "draw", "publish"],
        ["pixel", "succeeded", "0.021", "0.500", "0.123", "1.500", "0.040"],
        ["neon", "failed", "-", "-", "-", "-", "-"],
    ]


def test_images_are_named_for_their_adapters(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"

    save([Outcome("pixel", record(), b"image"), Outcome("neon", FAILED, None)], out)

    assert {path.name: path.read_bytes() for path in out.iterdir()} == {"pixel.webp": b"image"}


def test_a_failed_job_says_why() -> None:
    assert Outcome("neon", FAILED, None).error == "neon: The pipeline raised. (drawing_failed)"
    assert Outcome("pixel", record(), b"image").error is None
