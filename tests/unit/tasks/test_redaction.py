"""Secrets and prompts are removed from the text of a log, and nothing else is."""

from __future__ import annotations

import logging
import sys

import pytest

from tasks.logs import CUT, HIDDEN, MAX_MESSAGE_CHARACTERS, in_context, log_context, redact, redacting, shortened
from tests.support.jobs import SPEC

SECRET = "s3cr3t0123456789"


@pytest.mark.parametrize(
    "text",
    [
        f"GET http://127.0.0.1:8333/b/images/0.png?X-Amz-Credential=key&X-Amz-Signature={SECRET}&X-Amz-Expires=60 200",
        f'HTTP Request: GET https://cdn.example/file?Expires=1&Signature={SECRET}&Key-Pair-Id=K "HTTP/1.1 200 OK"',
        f"headers: {{'Authorization': b'AWS4-HMAC-SHA256 Credential=key, Signature={SECRET}'}}",
        f"headers: [(b'authorization', b'Bearer {SECRET}')]",
        f"Authorization: Bearer {SECRET}\r\nAccept: */*",
        f"the key {SECRET} is wrong".replace(SECRET, f"hf_{SECRET}"),
        f"cannot connect to redis://:{SECRET}@valkey:6379/0",
        f"redirected from https://a/b to redis://:{SECRET}@valkey:6379/0?a@b",
        f'"GET /v1/jobs?after=1&api_key={SECRET} HTTP/1.1" 401',
        f'"GET /v1/jobs/stokehold_{SECRET} HTTP/1.1" 404',
        f'"GET /stokehold%5F{SECRET}" 404',
        f"the webhook's secret whsec_{SECRET}= is wrong",
    ],
)
def test_credentials_are_hidden(text: str) -> None:
    redacted = redact(text, prompts=True)

    assert SECRET not in redacted
    assert HIDDEN in redacted


PROMPT = 'the "marked" prompt, it\'s here\nand there'


@pytest.mark.parametrize("field", ["prompt", "negative_prompt"])
def test_prompts_are_hidden_unless_they_are_allowed(field: str) -> None:
    spec = SPEC.model_copy(update={field: PROMPT})
    texts = [repr(spec), str(spec.model_dump()), spec.model_dump_json(), repr(spec.model_dump_json())]

    assert not any("marked" in redact(text) or "there" in redact(text) for text in texts)
    assert all("marked" in redact(text, prompts=True) for text in texts)


@pytest.mark.parametrize(
    "text",
    [
        f"GET http://127.0.0.1:8333/b?Policy={SECRET * 9}&Signature={SECRET}",
        f"redis://user:{SECRET * 9}@valkey:6379/0",
        f"stokehold_{SECRET * 9}",
        f"hf_{SECRET * 9}",
        f"Authorization: Bearer {SECRET * 9}",
        f"api?token={SECRET * 9}",
        f"prompt='{SECRET * 9}'",
        f"\\'negative_prompt\\': \\'{SECRET * 9}\\'",
        f"input_value='{SECRET * 9}', input_type=str",
        f"truncated because of 77 tokens: {SECRET * 9}",
    ],
)
def test_a_cut_shows_nothing_whose_sign_it_took_away(text: str) -> None:
    begin = text.index(SECRET)

    for end in range(begin, len(text)):
        kept = redact(shortened(f"{text} and on", end))
        assert "0123" not in kept
        assert "s3c" not in kept


def test_a_long_line_is_cut_and_says_so() -> None:
    make = redacting(logging.LogRecord, prompts=False)

    record = make("name", logging.INFO, __file__, 1, "job %s failed: %s", ("0123", "a" * 1_000_000), None)

    assert record.getMessage().startswith("job 0123 failed: aaa")
    assert record.getMessage().endswith(f"a{CUT}")
    assert len(record.getMessage()) <= MAX_MESSAGE_CHARACTERS + len(CUT)


def test_of_a_long_traceback_both_ends_are_kept() -> None:
    make = redacting(logging.LogRecord, prompts=False)
    try:
        fail_below(200)
    except ExceptionGroup:
        record = make("name", logging.ERROR, __file__, 1, "failed", (), sys.exc_info())

    written = logging.Formatter().format(record)

    assert "Traceback" in written
    assert "last words" in written
    assert len(written) < 200_000


def fail_below(depth: int) -> None:
    """An error with another one as its cause, and so on, each with a long text."""
    try:
        if depth:
            fail_below(depth - 1)
        raise ExceptionGroup("first", [ValueError("a" * 100_000)])
    except ExceptionGroup as error:
        raise ExceptionGroup(f"last words {'?' * 100_000}", [error.exceptions[0]]) from error


def test_the_rest_of_a_line_is_left_as_it_is() -> None:
    line = "job 0123 succeeded: queued=0.1 draw=2.0 http://127.0.0.1:8000/v1/jobs/0123?wait=10 width=64"

    assert redact(line) == line


def test_a_traceback_is_redacted_too() -> None:
    make = redacting(logging.LogRecord, prompts=False)
    try:
        raise ValueError(f"Bearer {SECRET}")
    except ValueError:
        record = make("name", logging.ERROR, __file__, 1, "job %s failed", ("0123",), sys.exc_info())

    written = logging.Formatter().format(record)

    assert written.startswith("job 0123 failed\nTraceback")
    assert SECRET not in written


def test_a_record_that_cannot_be_formatted_raises_nothing() -> None:
    record = redacting(logging.LogRecord, prompts=False)("name", logging.INFO, __file__, 1, "%d jobs", ("no",), None)

    assert record.getMessage() == "%d jobs (its values do not fit)"


def test_a_line_begins_with_the_fields_of_its_context() -> None:
    make = in_context(redacting(logging.LogRecord, prompts=False))

    with log_context({"job": "0123", "attempt": 1}):
        inside = make("name", logging.INFO, __file__, 1, "%d%% of Bearer %s", (50, SECRET), None)
    outside = make("name", logging.INFO, __file__, 1, "succeeded", (), None)

    assert inside.getMessage() == f"[job=0123 attempt=1] 50% of Bearer {HIDDEN}"
    assert outside.getMessage() == "succeeded"
