"""A client's connection that holds no thread for long: it has a minimum rate, and untaken bytes are kept."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable

GRACE_S = 10
"""Seconds for which a client may be idle, and after which its rate is checked."""
MIN_BYTES_PER_S = 16 * 1024
MAX_UNSENT_BYTES = 2 << 20
"""Bytes of a response that are kept for a slow client; more are made only when there is room again."""
PIECE_BYTES = 256 * 1024


class Pace:
    """A client's rate, counting only the time that was spent waiting for it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._bytes = 0
        self._waited_s = 0.0

    def count(self, step: Callable[[], int]) -> int:
        """Take a step that may wait for the client, and return the bytes that it moved.

        Raises:
            ConnectionResetError: the client is too slow.
        """
        begin = self._clock()
        try:
            moved = step()
        except TimeoutError:
            raise too_slow() from None
        self._waited_s += self._clock() - begin
        self._bytes += moved
        if self._waited_s > GRACE_S and self._bytes < MIN_BYTES_PER_S * (self._waited_s - GRACE_S):
            raise too_slow()
        return moved


def too_slow() -> ConnectionResetError:
    """Return the error that ends a connection which would hold a thread, as if the client had hung up."""
    return ConnectionResetError(errno.ECONNRESET, "the client is too slow")


class PacedSocket(socket.socket):
    """A connection, as gunicorn's threads use it.

    Attributes:
        unsent: sent bytes that the client has not taken yet.
    """

    def __init__(self, accepted: socket.socket, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(fileno=accepted.detach())
        self.unsent = bytearray()
        self._clock = clock
        self.begin_request()

    def begin_request(self) -> None:
        """Measure the rate of each request by itself."""
        self._reads, self._writes = Pace(self._clock), Pace(self._clock)

    def setblocking(self, blocking: bool, /) -> None:
        """Wait for ``GRACE_S`` at most where the caller asks to block."""
        self.settimeout(GRACE_S if blocking else 0)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Return the next bytes.

        Raises:
            ConnectionResetError: the client is too slow.
        """
        received = b""

        def step() -> int:
            nonlocal received
            received = super(PacedSocket, self).recv(size, flags)
            return len(received)

        self._reads.count(step)
        return received

    def sendall(self, data: bytes) -> None:  # type: ignore[override]
        """Send, or keep to be sent later; wait only where too much is kept.

        Raises:
            ConnectionResetError: the client is too slow.
        """
        self.unsent += data
        self.send_unsent()
        while len(self.unsent) > MAX_UNSENT_BYTES:
            self.setblocking(True)
            self._writes.count(self._send_piece)

    def send(self, data: bytes) -> int:  # type: ignore[override]
        """As ``sendall``; all bytes count as sent."""
        self.sendall(data)
        return len(data)

    def receive_now(self, size: int) -> bytes:
        """Return the next received bytes.

        Raises:
            BlockingIOError: there are none.
        """
        self.settimeout(0)
        return super().recv(size)

    def send_unsent(self) -> None:
        """Send as much as the client takes without waiting for it."""
        timeout = self.gettimeout()
        self.settimeout(0)
        try:
            while self.unsent:
                self._send_piece()
        except BlockingIOError:
            pass
        finally:
            self.settimeout(timeout)

    def _send_piece(self) -> int:
        sent = super().send(self.unsent[:PIECE_BYTES])
        del self.unsent[:sent]
        return sent
