"""A proxy in front of a server, which loses responses or refuses requests for the time of a fault."""

from __future__ import annotations

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from threading import Thread

from stack.ports import LOOPBACK

CHUNK_BYTES = 1 << 16
LINGER_S = 0.5
"""For how long a refused client may still send: a connection that is closed on unread bytes loses the refusal."""


@dataclass(frozen=True)
class Refusal:
    """A response that clients get instead of the server's; nothing cuts the connection."""

    answer: bytes = b""


@dataclass
class Proxy:
    """Passes bytes on, both ways.

    Attributes:
        port: where it listens.
        target: port of the server.
        loses_answers: whether the server gets requests while its responses are cut off with the connection.
        refusal: response that clients get while nothing reaches the server.
    """

    port: int
    target: int
    loses_answers: bool = False
    refusal: Refusal | None = None

    async def on_connection(self, client: StreamReader, to_client: StreamWriter) -> None:
        """Serve a client until it or the server goes."""
        async with closed_at_end(to_client):
            with suppress(OSError):
                server, to_server = await asyncio.open_connection(LOOPBACK, self.target)
                async with closed_at_end(to_server):
                    requests = self._pass_requests(client, to_server, to_client)
                    await until_one_ends(requests, self._pass_answers(server, to_client))

    async def _pass_requests(self, client: StreamReader, to_server: StreamWriter, to_client: StreamWriter) -> None:
        while data := await client.read(CHUNK_BYTES):
            if self.refusal is not None:
                to_client.write(self.refusal.answer)
                with suppress(TimeoutError):
                    await asyncio.wait_for(drained(client), LINGER_S)
                return
            to_server.write(data)
            await to_server.drain()

    async def _pass_answers(self, server: StreamReader, to_client: StreamWriter) -> None:
        while data := await server.read(CHUNK_BYTES):
            if self.loses_answers:
                return
            to_client.write(data)
            await to_client.drain()


async def drained(reader: StreamReader) -> None:
    """Read to the end."""
    while await reader.read(CHUNK_BYTES):
        pass


async def until_one_ends(*ways: Coroutine[None, None, None]) -> None:
    """Run these until one of them ends, and then end the others."""
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def closed_at_end(writer: StreamWriter) -> AsyncIterator[None]:
    """Close a connection at the end."""
    try:
        yield
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@contextmanager
def proxying(*proxies: Proxy) -> Iterator[None]:
    """Run proxies on one thread while the block runs.

    Raises:
        OSError: a port is taken.
    """
    loop, over = asyncio.new_event_loop(), asyncio.Event()
    listening: Future[None] = Future()
    thread = Thread(target=loop.run_until_complete, args=(serve(proxies, listening, over),), name="proxies")
    thread.start()
    try:
        listening.result()
        yield
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


async def serve(proxies: Iterable[Proxy], listening: Future[None], over: asyncio.Event) -> None:
    """Accept connections until the task is canceled."""
    async with AsyncExitStack() as servers:
        try:
            for proxy in proxies:
                server = await asyncio.start_server(proxy.on_connection, LOOPBACK, proxy.port)
                await servers.enter_async_context(server)
        except OSError as error:
            listening.set_exception(error)
            return
        listening.set_result(None)
        await over.wait()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
