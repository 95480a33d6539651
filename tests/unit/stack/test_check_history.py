"""A history is kept in a file, and checked again from there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stack.check_history import main
from stack.history.event import Event, Kind, Phase, Request
from stack.history.recorder import Caller, Outcome, Recorder, read_history
from tasks.batches.batch import BatchStatus
from tests.support.histories import Story, batch, line, queued, running, succeeded

ALICE = Caller("alice 1", "alice")
POLL = Request(kind=Kind.POLL_JOB, target="j")


def written(path: Path, events: list[Event]) -> Path:
    path.write_text("".join(f"{event.model_dump_json(exclude_none=True)}\n" for event in events), "utf-8")
    return path


def test_what_is_recorded_is_read_again(tmp_path: Path) -> None:
    with Recorder(tmp_path / "history") as recorder:
        number = recorder.invoke(ALICE, POLL)
        recorder.end(number, ALICE, Outcome(Phase.OK, running(), status=200))
        recorder.saw(ALICE, Request(kind=Kind.CALM))

    first, second, *calm = read_history(tmp_path / "history")
    assert (first.client, first.owner, first.phase, first.request) == ("alice 1", "alice", Phase.INVOKE, POLL)
    assert (second.operation, second.phase, second.answer) == (first.operation, Phase.OK, running())
    assert [event.phase for event in calm] == [Phase.INVOKE, Phase.OK]
    assert first.at <= second.at <= calm[0].at


def test_every_answer_is_read_as_what_it_was(tmp_path: Path) -> None:
    story = Story().poll(0, 1, succeeded()).told(2, batch(BatchStatus.COMPLETED)).results(3, 4, line(1, "x"))

    assert list(read_history(written(tmp_path / "history", story.events))) == story.events


def test_a_clean_history_prints_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([str(written(tmp_path / "history", Story().poll(0, 1, running()).events))])

    assert capsys.readouterr().out == ""


def test_each_violation_is_a_line_of_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    story = Story().poll(0, 1, running()).poll(2, 3, queued())

    with pytest.raises(SystemExit, match="not clean: 1 violation"):
        main([str(written(tmp_path / "history", story.events))])

    violation = json.loads(capsys.readouterr().out)
    assert (violation["rule"], violation["subject"], violation["operations"]) == ("forward", "j", [0, 2])


def test_another_file_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("hello\n", "utf-8")

    with pytest.raises(SystemExit, match="notes is not a history"):
        main([str(tmp_path / "notes")])
