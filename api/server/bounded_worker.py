"""gunicorn's threaded worker, in which no client that is slow or silent holds a thread.

One loop waits for all connections at once. It reads a request until it is complete, an upload until its head is, and
only then gives it to a thread; the part of a response that a client does not take at once is sent by the loop. Each of
these steps has a time limit, and if there are too many connections, the one that has waited longest is closed.

gunicorn's own worker (27.0) reads heads and bodies and writes responses in its threads, without a limit, and waits in
its loop for a client to hang up: docs/decisions/0013-slow-clients-wait-outside-the-threads.md.
"""

from __future__ import annotations

import errno
import selectors
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

from api.server.paced_socket import GRACE_S, MIN_BYTES_PER_S, PacedSocket
from api.server.request_buffer import Arrival, RequestBuffer

FIRST_BYTE_S = 10
"""Seconds from a connection to the first byte of its first request."""
REQUEST_S = 20
"""Seconds from the first byte of a request to its last one, or to the last one of its head if it is an upload."""
LINGER_S = 2
MAX_DISCARDED_BYTES = 1 << 20
"""Seconds and bytes for which a client may continue to send after its last response, which it would otherwise lose."""
MAX_RESPONSES_WAITING = 64
"""Clients that have not taken their responses."""
SWEEP_S = 0.5
RECEIVE_BYTES = 64 * 1024
NO_ROOM = (errno.EMFILE, errno.ENFILE)
NOTHING_THERE = (errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNABORTED)

REFUSALS = {
    Arrival.HEAD_TOO_LONG: "431 Request Header Fields Too Large",
    Arrival.BODY_TOO_LONG: "413 Content Too Large",
    Arrival.PARTIAL: "408 Request Timeout",
}


class Connection(TConn):  # type: ignore[misc]
    """A client's connection.

    Attributes:
        request: the received part of its next request.
        deadline: time at which it is closed unless its client does something.
        keep: it may send another request when its response is sent.
        continued: ``100 Continue`` was sent.
        discarded: bytes that came after its last response.
    """

    def __init__(self, cfg: Any, accepted: socket.socket, client: Any, server: Any) -> None:
        super().__init__(cfg, PacedSocket(accepted), client, server)
        self.sock: PacedSocket
        self.request = RequestBuffer()
        self.deadline = 0.0
        self.keep = self.continued = False
        self.discarded = 0
        self.data_ready = True  # gunicorn's threads need not wait for it

    def take_request(self) -> None:
        """Give the received bytes to the parser."""
        self.init()
        self.sock.begin_request()
        data = self.request.without_expectation() if self.continued else bytes(self.request.data)
        self.parser.unreader.unread(data)
        self.request, self.continued = RequestBuffer(), False


class BoundedWorker(ThreadWorker):  # type: ignore[misc]
    """The worker. All but ``handle`` and ``_keepalive_after`` runs on its main thread."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._arriving: dict[Connection, None] = {}
        self._unsent: dict[Connection, None] = {}
        self._leaving: dict[Connection, None] = {}
        self._swept = 0.0

    def accept(self, listener: socket.socket) -> None:
        """Take a new connection, and wait for its request."""
        try:
            accepted, client = listener.accept()
        except OSError as error:
            if error.errno in NO_ROOM:
                self._drop_oldest(self._arriving)
            elif error.errno not in NOTHING_THERE:
                raise
            return
        self.nr_conns += 1
        connection = Connection(self.cfg, accepted, client, listener.getsockname())
        self._wait(connection, self._arriving, FIRST_BYTE_S)

    def finish_request(self, connection: Connection, outcome: Future[bool]) -> None:
        """Continue with a connection whose request a thread has served."""
        connection.keep = not outcome.cancelled() and outcome.exception() is None and bool(outcome.result())
        if connection.sock.unsent:
            seconds = GRACE_S + len(connection.sock.unsent) / MIN_BYTES_PER_S
            self._wait(connection, self._unsent, seconds)
            if len(self._unsent) > MAX_RESPONSES_WAITING:
                self._drop_oldest(self._unsent)
        else:
            self._go_on(connection)

    def murder_keepalived(self, force: bool = False) -> None:
        """Close connections whose time has expired, and the one that waited longest if there is no room for another."""
        now = time.monotonic()
        if now - self._swept > SWEEP_S or force:
            self._swept = now
            for waiting in (self._arriving, self._unsent, self._leaving):
                for connection in [one for one in waiting if force or one.deadline <= now]:
                    self._expire(connection, waiting)
        if self.nr_conns >= self.worker_connections:
            self._drop_oldest(self._leaving or self._arriving)

    def murder_pending(self) -> None:
        """Nothing is pending here."""

    def _cap_keepalive(self, deadline: float) -> None:
        for connection in self._arriving:
            connection.deadline = min(connection.deadline, deadline)

    def _keepalive_after(self, connection: Connection, keepalive: bool) -> bool:
        """Return whether a connection may be used again: the received rest of a body is discarded."""
        return keepalive and bool(connection.parser.finish_body(deadline=time.monotonic() + 0.05))

    def _wait(self, connection: Connection, waiting: dict[Connection, None], seconds: float) -> None:
        """Be notified when a client sends, or takes, something."""
        if connection.sock.fileno() < 0:  # its thread met an error in the middle of a response, and has closed it
            self.nr_conns -= 1
            return
        taken = waiting is self._unsent
        heard: Callable[[Connection, Any], None] = self._send if taken else self._receive
        connection.sock.setblocking(False)
        connection.deadline = time.monotonic() + seconds
        waiting[connection] = None
        event = selectors.EVENT_WRITE if taken else selectors.EVENT_READ
        self.poller.register(connection.sock, event, partial(heard, connection))

    def _leave(self, connection: Connection, waiting: dict[Connection, None]) -> None:
        del waiting[connection]
        self.poller.unregister(connection.sock)

    def _receive(self, connection: Connection, _: Any) -> None:
        """Receive the bytes that a client has sent."""
        try:
            part = connection.sock.receive_now(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        if connection in self._leaving:
            connection.discarded += len(part)
            if not part or connection.discarded > MAX_DISCARDED_BYTES:
                self._drop(connection, self._leaving)
        elif part:
            if not connection.request.data:
                connection.deadline = time.monotonic() + REQUEST_S
            self._consider(connection, connection.request.add(part))
        else:
            self._drop(connection, self._arriving)

    def _consider(self, connection: Connection, arrival: Arrival) -> None:
        """Decide on the request that has been received so far."""
        if arrival is Arrival.PARTIAL:
            if connection.request.expects_continue and not connection.continued:
                connection.continued = True
                with suppress(OSError):
                    connection.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            return
        self._leave(connection, self._arriving)
        if arrival is Arrival.READY:
            connection.take_request()
            self.enqueue_req(connection)
        else:
            self._refuse(connection, arrival)

    def _send(self, connection: Connection, _: Any) -> None:
        """Send the bytes that a client had not taken."""
        try:
            connection.sock.send_unsent()
        except OSError:
            self._drop(connection, self._unsent)
            return
        if not connection.sock.unsent:
            self._leave(connection, self._unsent)
            self._go_on(connection)

    def _go_on(self, connection: Connection) -> None:
        """Wait for the next request of a client that has its response, or for its end."""
        if not connection.keep:
            self._close(connection)
            return
        rest = connection.parser.unreader.take_buffered()
        self._wait(connection, self._arriving, REQUEST_S if rest else self.cfg.keepalive)
        if not self.alive:
            self._cap_keepalive(time.monotonic() + LINGER_S)
        if rest:
            self._consider(connection, connection.request.add(rest))

    def _refuse(self, connection: Connection, arrival: Arrival) -> None:
        head = f"HTTP/1.1 {REFUSALS[arrival]}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        with suppress(OSError):
            connection.sock.sendall(head.encode())
        self._close(connection)

    def _close(self, connection: Connection) -> None:
        """End a connection so that the client can still read its response."""
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.nr_conns -= 1
            connection.close()
        else:
            self._wait(connection, self._leaving, LINGER_S)

    def _expire(self, connection: Connection, waiting: dict[Connection, None]) -> None:
        if waiting is self._arriving and connection.request.data:
            self._leave(connection, waiting)
            self._refuse(connection, Arrival.PARTIAL)
        else:
            self._drop(connection, waiting)

    def _drop_oldest(self, waiting: dict[Connection, None]) -> None:
        oldest = next(iter(waiting), None)
        if oldest is not None:
            self._drop(oldest, waiting)

    def _drop(self, connection: Connection, waiting: dict[Connection, None]) -> None:
        self._leave(connection, waiting)
        self.nr_conns -= 1
        connection.close()
