"""A receiver of webhooks, which verifies them, and is now and then slow, fails or hangs up."""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from enum import StrEnum
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from standardwebhooks import Webhook, WebhookVerificationError

from stack.history.event import Kind, Request, SeenWebhook
from stack.history.recorder import Caller, Recorder
from stack.ports import LOOPBACK
from stack.soak.observations import seen_batch, seen_job

SLOW_S = 2.0
"""Between two bytes of a slow answer."""
MAX_BYTES = 10
"""After which a slow receiver hangs up."""


class Manner(StrEnum):
    """A way to treat a delivery."""

    PROMPT = "prompt"
    FAILING = "failing"
    SLOW = "slow"
    HANGING_UP = "hanging_up"


class Receiver:
    """Treats the deliveries to all owners.

    Args:
        recorder: records each delivery.
        secrets: by owner, the secret with which deliveries to it are signed; filled as owners are made.
        choice: chooses at random how a delivery is treated.

    Attributes:
        manner: treatment of every delivery while a fault lasts; None chooses one at random.
    """

    def __init__(self, recorder: Recorder, secrets: Mapping[str, str], choice: random.Random) -> None:
        self.manner: Manner | None = None
        self._recorder = recorder
        self._secrets = secrets
        self._choice = choice

    def receive(self, owner: str, headers: Mapping[str, str], body: bytes) -> Manner:
        """Record a delivery, and return how to treat it."""
        message = json.loads(body)
        about = message["data"]
        seen = SeenWebhook(
            id=headers["webhook-id"],
            genuine=self._is_genuine(owner, headers, body),
            about=seen_batch(about) if message["type"].startswith("batch.") else seen_job(about),
        )
        self._recorder.saw(Caller("receiver", owner), Request(kind=Kind.WEBHOOK, target=seen.about.id), seen)
        return self.manner or self._choice.choices(tuple(Manner), (20, 2, 1, 1))[0]

    def _is_genuine(self, owner: str, headers: Mapping[str, str], body: bytes) -> bool:
        try:
            Webhook(self._secrets[owner]).verify(body, dict(headers))
        except WebhookVerificationError:
            return False
        return True


class Handler(BaseHTTPRequestHandler):
    """Answers deliveries to ``/<owner>``."""

    receiver: Receiver

    def do_POST(self) -> None:
        """Receive a delivery, if all of it arrives."""
        length = int(self.headers["Content-Length"])
        if len(body := self.rfile.read(length)) < length:
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        manner = self.receiver.receive(self.path.strip("/"), headers, body)
        with suppress(OSError):  # the service has hung up
            self.answer(manner)

    def answer(self, manner: Manner) -> None:
        """Respond as the manner says."""
        self.close_connection = True
        if manner is Manner.SLOW:
            for byte in b"HTTP/1.1 200 OK"[:MAX_BYTES]:
                self.wfile.write(bytes([byte]))
                time.sleep(SLOW_S)
        elif manner is not Manner.HANGING_UP:
            status = HTTPStatus.OK if manner is Manner.PROMPT else HTTPStatus.INTERNAL_SERVER_ERROR
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


class Server(ThreadingHTTPServer):
    """A server that keeps the errors that its handlers did not expect."""

    errors: list[BaseException]

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 (as socketserver has it)
        """Keep the exception, unless the service has hung up."""
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            self.errors.append(error)


@contextmanager
def receiving(receiver: Receiver, port: int) -> Iterator[None]:
    """Listen while the block runs.

    Raises:
        BaseException: the first error of the receiver itself.
    """
    handler = type("Handler", (Handler,), {"receiver": receiver})
    with Server((LOOPBACK, port), handler) as server:
        server.errors = []
        server.daemon_threads = True
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="receiver")
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
        if server.errors:
            raise server.errors[0]
