"""A block of neighbouring ports for all parts, so that one number moves the whole stack."""

from __future__ import annotations

import random
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from stack.errors import PortTaken

LOOPBACK = "127.0.0.1"

GRPC_OFFSET = 10_000
"""SeaweedFS' worker looks for the admin part's gRPC port this far above its HTTP port, whatever port it was given."""

FIRST_PORTS = range(1024, 65_536 - GRPC_OFFSET - 10)
"""First ports of blocks: the last port of one is ``GRPC_OFFSET`` above its eleventh."""

FREE_BLOCKS = range(12_000, 22_000)
"""Below the ports that systems give to outgoing connections (from 32768 on Linux), also with ``GRPC_OFFSET`` added."""


@dataclass(frozen=True)
class Ports:
    """Every port that the stack listens on, all on loopback. From ``s3`` on they are SeaweedFS' own."""

    api: int
    valkey: int
    s3: int
    s3_grpc: int
    master: int
    master_grpc: int
    volume: int
    volume_grpc: int
    filer: int
    filer_grpc: int
    admin: int

    @classmethod
    def block(cls, first: int) -> Ports:
        """Eleven neighbours from ``first``, which is the API's, and one at ``first`` + 10010."""
        return cls(*range(first, first + 11))

    @classmethod
    def free(cls, choice: random.Random | None = None) -> Ports:
        """Return a block of ports that are free at the moment.

        Args:
            choice: chooses where to look; by default at random, so that two searches seldom collide.
        """
        choice = choice or random.Random()
        while True:
            ports = cls.block(choice.choice(FREE_BLOCKS))
            if all(map(is_free, (ports.api, ports.valkey, *ports.of_seaweedfs.values()))):
                return ports

    @property
    def of_seaweedfs(self) -> Mapping[str, int]:
        """Return the ports of SeaweedFS, by the part of it that listens there."""
        named = {name: port for name, port in asdict(self).items() if name not in {"api", "valkey"}}
        return {**named, "admin_grpc": self.admin + GRPC_OFFSET}


def is_free(port: int) -> bool:
    """Return whether a server could listen on this port of loopback now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do, despite a connection just closed
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def require_free(wanted: Mapping[str, int], remedy: str) -> None:
    """Check the ports before anything is started: some servers take another port in silence.

    Args:
        wanted: the ports, by the name of their part.
        remedy: what to do, for the message.

    Raises:
        PortTaken: a process listens on one of them.
    """
    for name, port in wanted.items():
        if not is_free(port):
            raise PortTaken(f"Port {port} of {LOOPBACK}, which {name} wants, is taken. {remedy}")
