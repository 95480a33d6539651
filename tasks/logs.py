"""One form for the log lines of every process, and what they never hold: credentials, presigned URLs, prompts."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from tasks.redaction import CUT, redact, shortened

MAX_MESSAGE_CHARACTERS = 8_000
MAX_TRACEBACK_PART_CHARACTERS = 2_000
"""Of one frame or one exception's text."""
MAX_TRACEBACK_PARTS = 60
"""Half of them from the beginning of a longer traceback, and half from its end."""

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

TALKATIVE = ("boto3", "botocore", "s3transfer", "urllib3", "httpx2", "httpcore2", "huggingface_hub")
"""Clients that at DEBUG write whole requests: headers, what is signed, bodies. They begin at INFO."""


def configure_logging(level: str, *, prompts: bool) -> None:
    """Write log lines of at least this level to standard error.

    Args:
        prompts: whether they may hold prompts.
    """
    logging.basicConfig(level=level, format=FORMAT)
    keep_secrets_out(prompts=prompts)


def keep_secrets_out(*, prompts: bool) -> None:
    """Redact every record where it is made: Celery, gunicorn and diffusers have handlers and formats of their own."""
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLogger().level))
    logging.setLogRecordFactory(redacting(logging.LogRecord, prompts=prompts))


def redacting(make: Callable[..., logging.LogRecord], *, prompts: bool) -> Callable[..., logging.LogRecord]:
    """A maker of records whose message and traceback are bounded, and then redacted."""

    def make_redacted(*arguments: Any, **options: Any) -> logging.LogRecord:
        record = make(*arguments, **options)
        record.msg = redact(shortened(message_of(record), MAX_MESSAGE_CHARACTERS), prompts=prompts)
        record.args = None
        if record.exc_info:  # formatters write this text where there is one
            record.exc_text = redacted_traceback(traceback.format_exception(*record.exc_info), prompts=prompts)
        return record

    return make_redacted


def redacted_traceback(parts: Sequence[str], *, prompts: bool) -> str:
    """A traceback, each part of which is bounded and redacted by itself: what one hides ends with it."""
    half = MAX_TRACEBACK_PARTS // 2
    kept = parts if len(parts) <= MAX_TRACEBACK_PARTS else (*parts[:half], f"  {CUT}", *parts[-half:])
    bounded = (shortened(part.rstrip("\n"), MAX_TRACEBACK_PART_CHARACTERS) for part in kept)
    return "\n".join(redact(part, prompts=prompts) for part in bounded)


def message_of(record: logging.LogRecord) -> str:
    """A record's message; of one that cannot be formatted, the format alone, so that logging never raises."""
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return f"{record.msg} (its values do not fit)"
