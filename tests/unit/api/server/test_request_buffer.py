"""What is known of a request by the bytes that have come in."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api import MAX_BODY_BYTES
from api.server.request_buffer import MAX_CHUNKED_BYTES, MAX_HEAD_BYTES, SMALL_BODY_BYTES, Arrival, RequestBuffer

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345"
CHUNKED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
TRAILED = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n"
EXPECTING = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n12345"


def arrivals(request: bytes, cuts: list[int]) -> list[Arrival]:
    """What is said after each piece of a request that is cut at these places."""
    buffer, places = RequestBuffer(), sorted({0, len(request), *(cut % len(request) for cut in cuts)})
    return [buffer.add(request[begin:end]) for begin, end in pairwise(places)]


@settings(max_examples=300, deadline=None, database=None)
@given(request=st.sampled_from([GET, POST, CHUNKED, TRAILED, EXPECTING]), cuts=st.lists(st.integers(1, 200)))
def test_a_request_is_ready_when_its_last_byte_is_there_and_not_before(request: bytes, cuts: list[int]) -> None:
    *before, last = arrivals(request, cuts)

    assert last is Arrival.READY
    assert set(before) <= {Arrival.PARTIAL}


@pytest.mark.parametrize(
    "head",
    [
        f"POST / HTTP/1.1\r\nContent-Length: {SMALL_BODY_BYTES + 1}\r\n\r\n".encode(),
        b"POST / HTTP/1.1\r\nContent-Length: 9\r\nTransfer-Encoding: gzip\r\n\r\n123456789",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET / HTTP/1.1\r\nHost: x\n\r\n",
    ],
)
def test_what_is_large_or_will_be_refused_waits_for_no_more(head: bytes) -> None:
    assert arrivals(head, [])[-1] is Arrival.READY
    assert Arrival.READY in arrivals(head, list(range(len(head))))


@pytest.mark.parametrize(
    ("begin", "filler", "arrival", "most"),
    [
        (b"GET / HTTP/1.1\r\nX: ", b"a", Arrival.HEAD_TOO_LONG, MAX_HEAD_BYTES),
        (b"GET /", b"a", Arrival.HEAD_TOO_LONG, MAX_HEAD_BYTES),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"1;a\r\nb\r\n",
            Arrival.BODY_TOO_LONG,
            MAX_CHUNKED_BYTES,
        ),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"a", Arrival.BODY_TOO_LONG, MAX_CHUNKED_BYTES),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            b"a: b\r\n",
            Arrival.BODY_TOO_LONG,
            MAX_CHUNKED_BYTES,
        ),
    ],
)
def test_what_does_not_end_is_refused_at_its_bound_however_slowly_it_comes(
    begin: bytes, filler: bytes, arrival: Arrival, most: int
) -> None:
    buffer = RequestBuffer()
    said, spent = buffer.add(begin), time.thread_time()

    while said is Arrival.PARTIAL:
        said = buffer.add(filler)

    assert said is arrival
    assert len(buffer.data) <= most + len(begin) + len(filler)
    assert time.thread_time() - spent < 20, "each byte is looked at once, not once for each that follows"


def test_small_is_at_least_what_the_api_takes() -> None:
    assert SMALL_BODY_BYTES > MAX_BODY_BYTES


def test_an_answered_expectation_is_left_out_and_the_rest_kept() -> None:
    buffer = RequestBuffer()
    buffer.add(EXPECTING + GET)

    assert buffer.expects_continue
    assert buffer.without_expectation() == EXPECTING.replace(b"Expect: 100-continue\r\n", b"") + GET


@pytest.mark.parametrize("request_", [GET, EXPECTING.replace(b"1.1", b"1.0"), EXPECTING.replace(b"100-", b"200-")])
def test_nothing_else_is_an_expectation(request_: bytes) -> None:
    buffer = RequestBuffer()
    buffer.add(request_)

    assert not buffer.expects_continue
