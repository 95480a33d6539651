"""The lines of a backfill, from whatever people keep their prompts in."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tasks.backfill.__main__ import FIELDS
from tasks.backfill.sources import Line, completed, read_lines
from tasks.batches.line import BatchLine
from tasks.errors import InvalidRequest

OPENAI_LINE = {
    "custom_id": "a",
    "method": "POST",
    "url": "/v1/images/generations",
    "body": {"model": "demo", "prompt": "a red circle"},
}


def lines_of(tmp_path: Path, name: str, text: str) -> list[dict[str, object]]:
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return list(read_lines(str(path)))


def test_a_text_file_has_a_prompt_a_line(tmp_path: Path) -> None:
    assert lines_of(tmp_path, "a.txt", "a red circle\n\n  ein grüner Kreis \n") == [
        {"prompt": "a red circle"},
        {"prompt": "ein grüner Kreis"},
    ]


def test_json_lines_are_taken_as_they_are(tmp_path: Path) -> None:
    assert lines_of(tmp_path, "a.jsonl", '{"prompt": "a", "seed": 1}\n\n{"prompt": "b"}\n') == [
        {"prompt": "a", "seed": 1},
        {"prompt": "b"},
    ]


def test_json_lines_may_come_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"prompt": "a"}\n'))

    assert list(read_lines("-")) == [{"prompt": "a"}]


def test_a_table_has_fields_by_the_names_of_its_first_row(tmp_path: Path) -> None:
    table = 'prompt,seed,guidance_scale,adapters\n"a, b",7,2.5,neon dots\nc,,,\n'

    assert lines_of(tmp_path, "a.csv", table) == [
        {"prompt": "a, b", "seed": 7, "guidance_scale": 2.5, "adapters": [{"ref": "neon"}, {"ref": "dots"}]},
        {"prompt": "c"},
    ]


def test_a_table_may_have_every_field_of_a_line(tmp_path: Path) -> None:
    cells = {
        "adapters": "neon",
        "images": "2",
        "clip_skip": "1",
        "scheduler": "euler",
        "image_format": "webp",
        "deadline_s": "1.5",
    }
    cells |= dict.fromkeys(("width", "height", "steps", "seed", "guidance_scale"), "64")
    cells |= dict.fromkeys(("custom_id", "prompt", "negative_prompt", "base_model"), "text")

    (line,) = lines_of(tmp_path, "a.csv", f"{','.join(cells)}\n{','.join(cells.values())}\n")

    assert cells.keys() == BatchLine.model_fields.keys() - {"webhook_url"}
    assert BatchLine.model_validate(line).model_fields_set == cells.keys()


def test_a_product_has_every_combination_adapter_by_adapter(tmp_path: Path) -> None:
    product = 'prompts = ["a", "b"]\nadapters = ["x"]\nscales = [0.5, 1.0]\nseeds = [1, 2]\ndefaults = { steps = 3 }\n'

    lines = lines_of(tmp_path, "a.toml", product)

    assert len(lines) == 8
    assert lines[0] == {"steps": 3, "prompt": "a", "adapters": [{"ref": "x", "scale": 0.5}], "seed": 1}
    assert lines[-1] == {"steps": 3, "prompt": "b", "adapters": [{"ref": "x", "scale": 1.0}], "seed": 2}


def test_a_product_of_prompts_alone_needs_no_adapter_and_no_seed(tmp_path: Path) -> None:
    assert lines_of(tmp_path, "a.toml", 'prompts = ["a"]\n') == [{"prompt": "a", "adapters": []}]


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("a.jsonl", '{"prompt": "a"}\nno\n', "Line 2 is not valid JSON"),
        ("a.jsonl", "[1]\n", "Line 1 is not a JSON object"),
        ("a.csv", "prompt,seed\na,soon\n", "'soon' in the column seed is not a number"),
        ("a.csv", "prompt\na,b\n", "more cells"),
        ("a.toml", "prompts = []\n", "The product is invalid"),
        ("a.toml", "prompts = [\n", "The product is invalid"),
        ("a.png", "", "not a .jsonl, .csv, .txt or .toml"),
    ],
)
def test_what_cannot_be_read_says_why(tmp_path: Path, name: str, text: str, what: str) -> None:
    with pytest.raises(InvalidRequest, match=what):
        lines_of(tmp_path, name, text)


def test_a_file_that_is_not_there_or_not_text_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe")

    with pytest.raises(InvalidRequest, match="UTF-8"):
        list(read_lines(str(tmp_path / "a.txt")))
    with pytest.raises(InvalidRequest, match="cannot be read"):
        list(read_lines(str(tmp_path / "b.txt")))


def test_the_command_line_has_every_field_that_a_line_may_have() -> None:
    adapters_apart = BatchLine.model_fields.keys() - {"adapters", "custom_id", "prompt", "webhook_url"}

    assert FIELDS.keys() == adapters_apart


def test_the_command_line_fills_in_what_a_line_leaves_out() -> None:
    lines: list[Line] = [{"prompt": "a"}, {"prompt": "b", "steps": 9, "custom_id": "own"}, OPENAI_LINE]

    assert list(completed(lines, {"steps": 3})) == [
        {"custom_id": "1", "steps": 3, "prompt": "a"},
        {"custom_id": "own", "steps": 9, "prompt": "b"},
        OPENAI_LINE,
    ]
