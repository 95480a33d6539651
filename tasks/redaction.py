"""What must not be in a log is taken out of its text: credentials, presigned URLs, and prompts.

Anyone may choose a text that is logged, so all of this takes time in proportion to its length. Every pattern is looked
for only where a literal of it is present; its repetitions give nothing back (``*+``); and what ends with a text of its
own is hidden up to the end where that is missing. ``tests/unit/test_patterns.py`` measures every pattern we have.
"""

from __future__ import annotations

import re

HIDDEN = "<hidden>"
CUT = "<cut>"
"""Ends a text that was too long. What it cuts through is hidden although the sign of a secret may be behind it."""

_QUERY = re.compile(r"\?[^\s\"'<>]*+")
_SIGNED = ("x-amz-", "signature=")
"""In the query of a presigned URL: ours and S3's, and CloudFront's, which the Hub redirects to."""
_PARAMETER = re.compile(r"([?&;][\w.-]{0,40}(?:key|token|secret|password)=)[^\s&;\"'<>]++", re.IGNORECASE)
_AUTHORIZATION = re.compile(r"(authorization['\"]?+\s*+[:=,]\s*+b?+['\"]?+)[^'\"\r\n]++", re.IGNORECASE)
_BEARER = re.compile(r"\b(Bearer\s++)[^\s'\",]++", re.IGNORECASE)
_TOKEN = re.compile(rf"\b(?:hf_|whsec_|stokehold(?:_|%5[Ff]))(?:[\w+/-]{{8,}}+|[\w+/-]*+(?={CUT}))", re.ASCII)
"""Tokens of the Hub, secrets of webhooks, and our own API keys."""
_BEHIND_SCHEME = re.compile(r"://([^\s\"'<>]++)")

_PROMPT = re.compile(r"prompt\\*+['\"]?+\s*+[:=]\s*+(\\*+['\"])")
"""As JSON and Python begin a field, and once more inside a string of theirs."""
_REFUSED, _BEHIND_REFUSED = "input_value=", ", input_type="
"""pydantic's errors repeat the value that they refuse."""
_TRUNCATED = "truncated because "
_LEFT_OUT = re.compile(r" tokens:? ")
"""diffusers reports which part of a long prompt it leaves out."""


def shortened(text: str, most: int) -> str:
    """The text, cut to so many characters; what is cut says so."""
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
    """What is behind the scheme of a URL, without a password."""
    userinfo, at, rest = found[1].rpartition("@")
    if not at and is_cut(found):
        userinfo, rest = rest, ""
    user, colon, _ = userinfo.partition(":")
    return f"://{user}:{HIDDEN}{at}{rest}" if colon else found[0]


def is_cut(found: re.Match[str]) -> bool:
    """Whether the text is cut off where this ends."""
    return found.string.startswith(CUT, found.end())


def without_prompts(text: str) -> str:
    """The text without what its writers, pydantic and diffusers say of prompts."""
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
    """Where the quote is closed: at the next such quote that is not escaped, or at the end of the text."""
    end = text.find(quote, begin)
    while end > begin and text[end - 1] == "\\":
        end = text.find(quote, end + len(quote))
    return len(text) if end < 0 else end


def without_refused_values(text: str) -> str:
    """The text with the values in pydantic's errors hidden."""
    first, *others = text.split(_REFUSED)
    hidden = (f"{_REFUSED}{HIDDEN}{behind}{rest}" for _, behind, rest in (o.partition(_BEHIND_REFUSED) for o in others))
    return "".join((first, *hidden))
