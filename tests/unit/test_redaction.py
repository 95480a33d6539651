"""What must not stand in a log is taken out of its text, and nothing else is."""

from __future__ import annotations

import logging
import sys

import pytest

from tasks.logs import redacting
from tasks.redaction import HIDDEN, redact
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
