"""The block of ports of a stack."""

from __future__ import annotations

import argparse
import random
import socket
from collections.abc import Iterator
from dataclasses import astuple

import pytest

from stack.errors import PortTaken
from stack.ports import FIRST_PORTS, LOOPBACK, Ports, is_free, require_free
from stack.up import first_port


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server((LOOPBACK, 0)) as server:
        yield server.getsockname()[1]


def test_a_block_follows_its_first_port() -> None:
    ports = Ports.block(8000)

    assert (ports.api, ports.valkey, ports.s3) == (8000, 8001, 8002)
    assert astuple(ports) == tuple(range(8000, 8011))
    assert ports.of_seaweedfs["admin_grpc"] == ports.admin + 10_000


def test_a_port_with_a_listener_is_not_free(taken_port: int) -> None:
    assert not is_free(taken_port)


def test_a_taken_port_is_named_with_what_wants_it_and_what_to_do(taken_port: int) -> None:
    with pytest.raises(PortTaken, match=rf"Port {taken_port} .* which valkey wants, is taken\. Choose another\."):
        require_free({"valkey": taken_port}, "Choose another.")


def test_a_block_with_a_taken_port_is_passed_over() -> None:
    first, second = random.Random(1), random.Random(1)
    block = Ports.free(first)

    with socket.create_server((LOOPBACK, block.s3)):
        other = Ports.free(second)

    assert block.s3 not in astuple(other)


def test_the_highest_block_ends_with_the_highest_port() -> None:
    assert Ports.block(FIRST_PORTS[-1]).of_seaweedfs["admin_grpc"] == 65_535


@pytest.mark.parametrize("text", ["80", "60000", "-1", "http"])
def test_a_first_port_that_leaves_no_room_for_the_block_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="from 1024 to 55525"):
        first_port(text)
