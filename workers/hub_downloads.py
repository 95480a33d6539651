"""A bound for a Hub that sends a byte now and then: no timeout of a connection ever notices it.

``huggingface_hub`` waits for each part of an answer for at most ``HF_HUB_DOWNLOAD_TIMEOUT``, and begins again where a
download broke off, as long as each try brings something.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import httpx2
from huggingface_hub import set_client_factory
from huggingface_hub.utils._http import default_client_factory

from tasks.errors import AdapterFetchFailed

PATIENCE_S = 30.0
"""Seconds after which an answer must have come at the least rate, on average."""


class LeastRate(httpx2.SyncByteStream):
    """The content of an answer, as long as it comes fast enough.

    Args:
        stream: the content.
        bytes_per_s: the least rate, on average since the beginning.
        patience_s: seconds before which the rate does not count.
    """

    def __init__(
        self,
        stream: httpx2.SyncByteStream,
        bytes_per_s: float,
        patience_s: float = PATIENCE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._bytes_per_s = bytes_per_s
        self._patience_s = patience_s
        self._clock = clock

    def __iter__(self) -> Iterator[bytes]:
        """The parts, as they come.

        Raises:
            AdapterFetchFailed: they come too slowly. The next download goes on from what the Hub's client has written.
        """
        begin, received = self._clock(), 0
        for part in self._stream:
            received += len(part)
            seconds = self._clock() - begin
            if seconds > self._patience_s and received < seconds * self._bytes_per_s:
                raise AdapterFetchFailed(
                    f"The Hub sends this adapter too slowly: {received} bytes in {seconds:.0f} s. "
                    "Submit the job again later."
                )
            yield part

    def close(self) -> None:
        """Close the connection behind it."""
        self._stream.close()


def bound_downloads(bytes_per_s: float, patience_s: float = PATIENCE_S) -> None:
    """Let nothing that the Hub's client downloads in this process come more slowly than this."""

    def bound(response: httpx2.Response) -> None:
        if isinstance(response.stream, httpx2.SyncByteStream):
            response.stream = LeastRate(response.stream, bytes_per_s, patience_s)

    def client() -> httpx2.Client:
        made = default_client_factory()
        made.event_hooks = {**made.event_hooks, "response": [*made.event_hooks["response"], bound]}
        return made

    set_client_factory(client)
