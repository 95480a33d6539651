"""A connection asks its client for a least rate, and keeps what the client does not take."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from api.server.paced_socket import GRACE_S, MAX_UNSENT_BYTES, MIN_BYTES_PER_S, Pace, PacedSocket


class Clock:
    """Stands still but when it is told to go on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def step_of(clock: Clock, seconds: float, moved: int) -> int:
    clock.now += seconds
    return moved


def test_a_client_at_the_least_rate_may_go_on_for_ever() -> None:
    clock = Clock()
    pace = Pace(clock)

    for _ in range(10_000):
        pace.count(lambda: step_of(clock, 1, MIN_BYTES_PER_S))


def test_a_client_below_it_is_cut_off_when_patience_ends() -> None:
    clock = Clock()
    pace = Pace(clock)

    def read_all() -> None:
        for _ in range(10_000):
            pace.count(lambda: step_of(clock, 1, 1))

    with pytest.raises(ConnectionResetError, match="too slow"):
        read_all()

    assert GRACE_S <= clock.now <= GRACE_S + 2


def test_only_the_time_that_the_client_takes_counts() -> None:
    clock = Clock()
    pace = Pace(clock)

    for _ in range(1_000):
        pace.count(lambda: step_of(clock, 0.001, 1))
        clock.now += 60  # storage takes the last part


@pytest.fixture
def pair() -> Iterator[tuple[PacedSocket, socket.socket]]:
    """A connection, and its client's end."""
    ours, theirs = socket.socketpair()
    with PacedSocket(ours) as paced, theirs:
        yield paced, theirs


def test_an_answer_that_is_not_taken_is_kept_in_order(pair: tuple[PacedSocket, socket.socket]) -> None:
    paced, client = pair
    answer = b"".join(b"%07d\n" % number for number in range(MAX_UNSENT_BYTES // 8))

    paced.sendall(answer[:1_000])
    paced.sendall(answer[1_000:])
    assert paced.unsent

    received = b""
    while len(received) < len(answer):
        received += client.recv(1 << 20)
        paced.send_unsent()
    assert received == answer
    assert not paced.unsent


def test_nothing_is_received_that_is_not_there(pair: tuple[PacedSocket, socket.socket]) -> None:
    paced, client = pair

    with pytest.raises(BlockingIOError):
        paced.receive_now(10)
    client.sendall(b"abc")

    assert paced.receive_now(10) == b"abc"
