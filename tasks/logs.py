"""Log lines: of bounded length, without secrets and prompts, and with the job that they are about."""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

HIDDEN = "<hidden>"


CUT = "<cut>"
"""End of a text that was cut. A field that it cuts is hidden, since the lost part may have the sign of a secret."""


_QUERY = re.compile(r"\?[^\s\"'<>]*+")


_SIGNED = ("x-amz-", "signature=")
"""Signs of a signature in the query of a presigned URL: S3's, and CloudFront's, to which the Hub redirects."""


_PARAMETER = re.compile(r"([?&;][\w.-]{0,40}(?:key|token|secret|password)=)[^\s&;\"'<>]++", re.IGNORECASE)


_AUTHORIZATION = re.compile(r"(authorization['\"]?+\s*+[:=,]\s*+b?+['\"]?+)[^'\"\r\n]++", re.IGNORECASE)


_BEARER = re.compile(r"\b(Bearer\s++)[^\s'\",]++", re.IGNORECASE)


_TOKEN = re.compile(rf"\b(?:hf_|whsec_|stokehold(?:_|%5[Ff]))(?:[\w+/-]{{8,}}+|[\w+/-]*+(?={CUT}))", re.ASCII)
"""Tokens of the Hub, secrets of webhooks, and our own API keys."""


_BEHIND_SCHEME = re.compile(r"://([^\s\"'<>]++)")


_PROMPT = re.compile(r"prompt\\*+['\"]?+\s*+[:=]\s*+(\\*+['\"])")
"""The beginning of a field in JSON and Python, and within a string of theirs."""


_REFUSED, _BEHIND_REFUSED = "input_value=", ", input_type="
"""pydantic's errors repeat the value that they refuse."""


_TRUNCATED = "truncated because "


_LEFT_OUT = re.compile(r" tokens:? ")
"""diffusers reports which part of a long prompt it leaves out."""


def shortened(text: str, most: int) -> str:
    """Return the text, cut to this many characters and marked where it is cut."""
    return text if len(text) <= most else text[:most] + CUT


def redact(text: str, *, prompts: bool = False) -> str:
    """The text without credentials, and without prompts unless they are allowed. Takes time in proportion to the text.

    Args:
        prompts: whether prompts may stay.
    """
    lower = text.lower()
    if "?" in text:
        text = _QUERY.sub(without_signature, text)
    if "=" in text:
        text = _PARAMETER.sub(rf"\1{HIDDEN}", text)
    if "authorization" in lower:
        text = _AUTHORIZATION.sub(rf"\1{HIDDEN}", text)
    if "bearer" in lower:
        text = _BEARER.sub(rf"\1{HIDDEN}", text)
    if any(prefix in text for prefix in ("hf_", "whsec_", "stokehold")):
        text = _TOKEN.sub(HIDDEN, text)
    if "://" in text:
        text = _BEHIND_SCHEME.sub(without_password, text)
    return text if prompts else without_prompts(text)


def without_signature(query: re.Match[str]) -> str:
    """A query, hidden where it is signed or cut off."""
    lower = query[0].lower()
    hidden = is_cut(query) or any(sign in lower for sign in _SIGNED)
    return f"?{HIDDEN}" if hidden else query[0]


def without_password(found: re.Match[str]) -> str:
    """Return the rest of a URL behind its scheme, without a password."""
    userinfo, at, rest = found[1].rpartition("@")
    if not at and is_cut(found):
        userinfo, rest = rest, ""
    user, colon, _ = userinfo.partition(":")
    return f"://{user}:{HIDDEN}{at}{rest}" if colon else found[0]


def is_cut(found: re.Match[str]) -> bool:
    """Return whether the text is cut off where this ends."""
    return found.string.startswith(CUT, found.end())


def without_prompts(text: str) -> str:
    """Return the text without prompts as our own messages, pydantic's and diffusers' show them."""
    if "prompt" in text:
        text = without_quoted_prompts(text)
    if _REFUSED in text:
        text = without_refused_values(text)
    begin = text.find(_TRUNCATED)
    if begin >= 0 and (found := _LEFT_OUT.search(text, begin + len(_TRUNCATED))):
        text = text[: found.end()] + HIDDEN
    return text


def without_quoted_prompts(text: str) -> str:
    """The text with what is between the quotes of each prompt hidden."""
    kept, end = [], 0
    while found := _PROMPT.search(text, end):
        kept.append(text[end : found.end()])
        end = closing_quote(text, found.end(), found[1])
        kept.append(HIDDEN)
    return "".join((*kept, text[end:]))


def closing_quote(text: str, begin: int, quote: str) -> int:
    """Return where the quote is closed: at the next such quote that is not escaped, or at the end of the text."""
    end = text.find(quote, begin)
    while end > begin and text[end - 1] == "\\":
        end = text.find(quote, end + len(quote))
    return len(text) if end < 0 else end


def without_refused_values(text: str) -> str:
    """The text with the values in pydantic's errors hidden."""
    first, *others = text.split(_REFUSED)
    hidden = (f"{_REFUSED}{HIDDEN}{behind}{rest}" for _, behind, rest in (o.partition(_BEHIND_REFUSED) for o in others))
    return "".join((first, *hidden))


MAX_MESSAGE_CHARACTERS = 8_000


MAX_TRACEBACK_PART_CHARACTERS = 2_000
"""Characters of one frame or one exception's text."""


MAX_TRACEBACK_PARTS = 60
"""Parts of a traceback; of a longer one half from its beginning and half from its end."""


FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


TALKATIVE = ("boto3", "botocore", "s3transfer", "urllib3", "httpx2", "httpcore2", "huggingface_hub")
"""Clients that at DEBUG write whole requests: headers, what is signed, bodies. They begin at INFO."""


def configure_logging(level: str, *, prompts: bool) -> None:
    """Write log lines of at least this level to standard error.

    Args:
        prompts: whether they may hold prompts.
    """
    logging.basicConfig(level=level, format=FORMAT)
    make_safe_records(prompts=prompts)


def make_safe_records(*, prompts: bool) -> None:
    """Redact every record, and name its job, when it is made: Celery, gunicorn and diffusers format their own."""
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.INFO, logging.getLogger().level))
    logging.setLogRecordFactory(in_context(redacting(logging.LogRecord, prompts=prompts)))


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


_fields: ContextVar[Mapping[str, object]] = ContextVar("log_fields", default=MappingProxyType({}))


@contextmanager
def log_context(fields: Mapping[str, object]) -> Iterator[None]:
    """Begin every line that is logged in the body with these fields.

    A new thread starts without them; run its function in ``contextvars.copy_context()``.
    """
    token = _fields.set(fields)
    try:
        yield
    finally:
        _fields.reset(token)


def in_context(make: Callable[..., logging.LogRecord]) -> Callable[..., logging.LogRecord]:
    """A maker of records whose message begins with the fields of the context, which ``log_context`` holds too."""

    def make_in_context(*arguments: Any, **options: Any) -> logging.LogRecord:
        record = make(*arguments, **options)
        record.log_context = fields = _fields.get()
        if fields:
            record.msg = f"[{' '.join(f'{name}={value}' for name, value in fields.items())}] {record.msg}"
        return record

    return make_in_context


def redacted_traceback(parts: Sequence[str], *, prompts: bool) -> str:
    """A traceback, each part of which is bounded and redacted by itself."""
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
