"""One form for the log lines of every process, and what they never hold: credentials, presigned URLs, prompts."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import Any

from tasks.redaction import redact

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
    """A maker of records whose message and traceback are redacted."""

    def make_redacted(*arguments: Any, **options: Any) -> logging.LogRecord:
        record = make(*arguments, **options)
        record.msg, record.args = redact(message_of(record), prompts=prompts), None
        if record.exc_info:  # formatters write this text where there is one
            record.exc_text = redact("".join(traceback.format_exception(*record.exc_info)).rstrip(), prompts=prompts)
        return record

    return make_redacted


def message_of(record: logging.LogRecord) -> str:
    """A record's message; of one that cannot be formatted, the format alone, so that logging never raises."""
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return f"{record.msg} (its values do not fit)"
