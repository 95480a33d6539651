"""The clients of a soak: what they make of answers, and that they send again what they do not know the outcome of."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from stack.history.event import Event, Phase
from stack.history.recorder import Caller, Recorder, read_history
from stack.ports import LOOPBACK
from stack.soak.job_user import JobUser
from stack.soak.random_requests import RandomRequests
from stack.soak.recorded_client import RecordedClient
from stack.soak.reply import phase_of

RECORD = {"id": "j", "status": "queued", "attempt": 0, "images": [], "error": None, "prompt": "a circle, number k-1"}


class Api(BaseHTTPRequestHandler):
    """Answers as a test says: a status, or 0 to hang up."""

    statuses: list[int]
    seen: list[tuple[str | None, Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.headers["Idempotency-Key"], json.loads(body) if body else None))
        status = self.statuses.pop(0)
        if status:
            answer = json.dumps(RECORD if status < 300 else {"type": "urn:stokehold:problem:no"}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def answering(*statuses: int) -> Iterator[tuple[str, list[tuple[str | None, Any]]]]:
    """An API that answers so; its URL, and what it is sent."""
    seen: list[tuple[str | None, Any]] = []
    handler = type("Handler", (Api,), {"statuses": list(statuses), "seen": seen})
    with ThreadingHTTPServer((LOOPBACK, 0), handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()


def user(url: str, recorder: Recorder) -> JobUser:
    client = RecordedClient(Caller("k", "alice"), url, "secret", recorder)
    requests = RandomRequests(lambda: ["dots"], "http://127.0.0.1:1/alice", random.Random(1))
    return JobUser(client, random.Random(3), requests, lambda: True, [])


def outcomes(path: Path) -> list[Event]:
    return [event for event in read_history(path) if event.phase is not Phase.INVOKE]


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        (200, Phase.OK),
        (202, Phase.OK),
        (204, Phase.OK),
        (401, Phase.FAIL),
        (404, Phase.FAIL),
        (408, Phase.INFO),
        (409, Phase.FAIL),
        (429, Phase.FAIL),
        (500, Phase.INFO),
        (503, Phase.INFO),
    ],
)
def test_a_status_says_whether_it_was_done(status: int, phase: Phase) -> None:
    assert phase_of(status) is phase


def test_a_submission_is_sent_with_the_same_key_and_body_until_its_outcome_is_known(tmp_path: Path) -> None:
    with Recorder(tmp_path / "history") as recorder, answering(0, 503, 429, 202) as (url, seen):
        jobs = user(url, recorder)
        jobs.sometimes_twice = lambda act: act()  # type: ignore[method-assign,assignment]
        jobs.submit()
        settled = [jobs.settle() for _ in range(3)]

    assert settled == [False, False, True]
    assert [key for key, _ in seen] == ["k-1"] * 4
    assert all(body == seen[0][1] for _, body in seen)
    assert seen[0][1]["prompt"].endswith("number k-1")
    assert list(jobs.known) == ["j"]
    events = outcomes(tmp_path / "history")
    assert [(event.phase, event.status, event.code) for event in events] == [
        (Phase.INFO, None, "RemoteProtocolError"),
        (Phase.INFO, 503, "no"),
        (Phase.FAIL, 429, "no"),
        (Phase.OK, 202, None),
    ]
    assert events[-1].answer is not None


def test_a_refused_submission_is_not_sent_again(tmp_path: Path) -> None:
    with Recorder(tmp_path / "history") as recorder, answering(422, 422) as (url, _):
        jobs = user(url, recorder)
        jobs.submit()
        assert jobs.settle()

    assert jobs.known == {}


def test_what_a_job_carries_in_its_prompt_is_seen_wherever_it_is_shown(tmp_path: Path) -> None:
    with Recorder(tmp_path / "history") as recorder, answering(200) as (url, _):
        user(url, recorder).client.cancel_job("j")

    (event,) = outcomes(tmp_path / "history")
    assert event.answer is not None
    assert event.answer.model_dump(include={"id", "key"}) == {"id": "j", "key": "k-1"}
