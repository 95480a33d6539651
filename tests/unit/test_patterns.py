"""No regular expression of the project takes more than linear time, whatever text it meets.

Every pattern is found in the source, and measured on texts that are made of itself: no text of a stranger can hold up a
process. CPU time of this thread is compared at two lengths; a pattern that goes back takes sixteen times as long for a
text four times as long.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator

import pytest

from tasks.logs import redact
from tests.support.patterns import Hostile, Pattern, hostile_texts, patterns_in, patterns_of_the_project, samples

SHORT, LONG = 16_384, 65_536
MAX_GROWTH = 9.0
"""Between the two lengths: linear is 4, quadratic 16."""
UNMEASURABLE_S = 0.001
"""The clock is too coarse for less. A quadratic pattern takes seconds for the long text."""
TRIES = 5

EXPONENTIAL = r"(a|a)*b"
QUADRATIC = [
    r"\?[^\s\"'<>]*(?:X-Amz-|Signature=)[^\s\"'<>]*",
    r"(\b[a-z][a-z0-9+]*://[^\s:/@'\"]*:)[^\s@'\"]+@",
    r"(?s)(input_value=).*?(, input_type=)",
    r"(?s)(truncated because .*? tokens:? ).*",
    r"\d+\.\d{6}:",
    EXPONENTIAL,
]
"""The first four hid secrets and prompts in the log until they were found to hold up the API."""


def cpu_s(run: Callable[[str], object], text: str) -> float:
    """CPU time that a text takes."""
    begin = time.thread_time()
    run(text)
    return time.thread_time() - begin


def grows_linearly(run: Callable[[str], object], hostile: Hostile, lengths: tuple[int, int]) -> bool:
    """Return whether a text four times as long takes about four times as long at most."""
    short, long = map(hostile.text, lengths)
    for _ in range(TRIES):  # other processes share the caches
        time_of_long = cpu_s(run, long)
        if time_of_long < UNMEASURABLE_S or time_of_long <= MAX_GROWTH * cpu_s(run, short):
            return True
    return False


def slow_texts(
    run: Callable[[str], object], samples: Iterable[str], lengths: tuple[int, int] = (SHORT, LONG)
) -> Iterator[Hostile]:
    """Those families of texts whose time grows faster than their length."""
    return (hostile for hostile in hostile_texts(samples) if not grows_linearly(run, hostile, lengths))


PATTERNS = patterns_of_the_project()


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_no_text_makes_a_pattern_slow(pattern: Pattern) -> None:
    assert list(slow_texts(pattern.run, samples(pattern))) == []


@pytest.mark.parametrize(
    "sample",
    [
        "http://user:password@host/path?X-Amz-Signature=0123&key=0123",
        "authorization: b'Bearer 0123', hf_0123456789",
        "'prompt': 'a \\'b\\' c', prompt=\\\\\\\"d",
        "input_value='a', input_type=str",
        "truncated because it has too many tokens: a",
    ],
)
def test_no_text_makes_the_redaction_slow(sample: str) -> None:
    assert list(slow_texts(redact, [sample])) == []


@pytest.mark.parametrize("text", QUADRATIC)
def test_the_measurement_finds_what_is_slow(text: str) -> None:
    pattern = Pattern("here", text, re.IGNORECASE, anchored=False)
    lengths = (4, 16) if text == EXPONENTIAL else (500, 2_000)

    assert any(slow_texts(pattern.run, samples(pattern), lengths))


def test_every_kind_of_pattern_is_found() -> None:
    found = {pattern.where.partition(":")[0] for pattern in PATTERNS}

    assert {"tasks/logs.py", "tasks/requests/job.py", "tasks/requests/openai.py", "tasks/lanes/choose.lua"} <= found


def test_a_pattern_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ValueError, match="write the pattern as a constant"):
        list(patterns_in("import re\nre.compile(made())", "here"))
