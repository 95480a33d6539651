"""What must not stand in a log is taken out of its text: credentials, presigned URLs, and prompts."""

from __future__ import annotations

import re

HIDDEN = "<hidden>"

_SECRETS = (
    # the query of a presigned URL: ours and S3's, and CloudFront's, which the Hub redirects to
    (re.compile(r"\?[^\s\"'<>]*(?:X-Amz-|Signature=)[^\s\"'<>]*", re.IGNORECASE), f"?{HIDDEN}"),
    (re.compile(r"((?:proxy-)?authorization['\"]?\s*[:=,]\s*b?['\"]?)[^'\"\r\n]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"\b(Bearer\s+)[^\s'\",]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"\bhf_[A-Za-z0-9]{8,}"), HIDDEN),
    (re.compile(r"(\b[a-z][a-z0-9+]*://[^\s:/@'\"]*:)[^\s@'\"]+@", re.IGNORECASE), rf"\1{HIDDEN}@"),
)

_PROMPTS = (
    # as JSON and Python write a field, and once more inside a string of theirs
    (re.compile(r"(prompt\\*['\"]?\s*[:=]\s*)(\\*['\"])(?:(?!\2).|(?<=\\)\2)*\2", re.DOTALL), rf"\1{HIDDEN}"),
    # pydantic's errors repeat the value that they refuse
    (re.compile(r"(input_value=).*?(, input_type=)", re.DOTALL), rf"\1{HIDDEN}\2"),
    # diffusers tells which part of a long prompt it leaves out
    (re.compile(r"(truncated because .*? tokens:? ).*", re.DOTALL), rf"\1{HIDDEN}"),
)


def redact(text: str, *, prompts: bool = False) -> str:
    """The text without credentials, and without prompts unless they are allowed.

    Args:
        prompts: whether prompts may stay.
    """
    for pattern, instead in _SECRETS if prompts else (*_SECRETS, *_PROMPTS):
        text = pattern.sub(instead, text)
    return text
