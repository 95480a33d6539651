"""What runs where, and what the user's settings change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stack.folder import StackFolder
from stack.local_stack import LocalStack
from stack.ports import Ports
from tasks.settings import PREFIX, Settings

BROKER = {"STOKEHOLD_BROKER_URL": "redis://broker.example:6379/0"}
STORAGE = {
    "STOKEHOLD_S3_ENDPOINT": "https://s3.example",
    "STOKEHOLD_S3_ACCESS_KEY": "theirs",
    "STOKEHOLD_S3_SECRET_KEY": "secret",
}
PORTS = Ports.block(8000)

MakeStack = Callable[[dict[str, str]], LocalStack]


@pytest.fixture
def make_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeStack:
    """Makes a stack for a user who has set these variables."""

    def make(variables: dict[str, str]) -> LocalStack:
        for name in (*BROKER, *STORAGE):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return LocalStack(StackFolder(tmp_path), PORTS, Settings())

    return make


@pytest.mark.parametrize(
    ("variables", "servers"),
    [({}, ["valkey", "s3"]), (BROKER, ["s3"]), (STORAGE, ["valkey"]), (BROKER | STORAGE, [])],
)
def test_a_server_that_the_user_names_is_not_started(
    make_stack: MakeStack, variables: dict[str, str], servers: list[str]
) -> None:
    stack = make_stack(variables)

    assert [part.name for part in stack.servers()] == servers
    assert {name.split()[0] for name in stack.wanted_ports} == {"api", *servers}


def test_our_parts_use_the_embedded_servers(make_stack: MakeStack) -> None:
    stack = make_stack({})

    for part in stack.services(Settings.model_validate(stack.overrides)):
        assert part.environment["STOKEHOLD_BROKER_URL"] == "redis://127.0.0.1:8001/0"
        assert part.environment["STOKEHOLD_S3_ENDPOINT"] == "http://127.0.0.1:8002"


def test_our_parts_use_the_servers_that_the_user_names(make_stack: MakeStack) -> None:
    stack = make_stack(BROKER | STORAGE)

    for part in stack.services(Settings.model_validate(stack.overrides)):
        given = {name for name in part.environment if name.startswith(PREFIX)}
        assert not given, "they find the user's own variables in our environment"


def test_our_parts_start_in_the_order_in_which_they_need_each_other(make_stack: MakeStack) -> None:
    names = [part.name for part in make_stack({}).services(Settings())]

    assert names == ["api", "housekeeping", "light-worker", "webhooks", "worker-demo"]
