"""The parts of a local stack, and the effect of the user's settings."""

from __future__ import annotations

import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from stack.folder import StackFolder
from stack.local_stack import LocalStack
from stack.ports import Ports
from tasks.settings import PREFIX, Settings

VALKEY = {"STOKEHOLD_VALKEY_URL": "redis://Valkey.example:6379/0"}
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
        for name in (*VALKEY, *STORAGE):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return LocalStack(StackFolder(tmp_path), PORTS, Settings())

    return make


@pytest.mark.parametrize(
    ("variables", "servers"),
    [({}, ["valkey", "s3"]), (VALKEY, ["s3"]), (STORAGE, ["valkey"]), (VALKEY | STORAGE, [])],
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
        password = stack.folder.secret("valkey")
        assert part.environment["STOKEHOLD_VALKEY_URL"] == f"redis://:{password}@127.0.0.1:8001/0"
        assert part.environment["STOKEHOLD_S3_ENDPOINT"] == "http://127.0.0.1:8002"


def test_our_parts_use_the_servers_that_the_user_names(make_stack: MakeStack) -> None:
    stack = make_stack(VALKEY | STORAGE)

    for part in stack.services(Settings.model_validate(stack.overrides)):
        given = {name for name in part.environment if name.startswith(PREFIX)}
        assert not given, "they find the user's own variables in our environment"


def test_our_parts_start_in_the_order_in_which_they_need_each_other(make_stack: MakeStack) -> None:
    names = [part.name for part in make_stack({}).services(Settings())]

    assert names == ["api", "housekeeping", "light-worker", "webhooks", "worker-demo"]


def test_no_secret_stands_in_a_command_line_or_in_what_is_printed(make_stack: MakeStack) -> None:
    stack = make_stack({})
    secrets = [stack.folder.secret(server) for server in ("valkey", "s3")]

    shown = [
        " ".join((*part.command, part.says))
        for part in (*stack.servers(), *stack.services(Settings.model_validate(stack.overrides)))
    ]

    assert len(set(secrets)) == 2
    assert not [line for line in shown for secret in secrets if secret in line]


def test_the_next_start_has_the_same_passwords(make_stack: MakeStack) -> None:
    first, second = make_stack({}), make_stack({})

    assert first.overrides == second.overrides


def test_a_shell_finds_out_how_to_reach_the_servers(make_stack: MakeStack) -> None:
    stack = make_stack({})
    stack.folder.write_environment(stack.environment)

    shell = f". {stack.folder.root}/environment; echo $STOKEHOLD_VALKEY_URL $STOKEHOLD_S3_SECRET_KEY"
    told = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout.split()

    assert told == [stack.overrides["valkey_url"], stack.overrides["s3_secret_key"]]


def test_what_a_stack_keeps_is_for_its_user_alone(make_stack: MakeStack) -> None:
    stack = make_stack({})
    stack.folder.root.chmod(0o755)

    stack.folder.write_environment(stack.environment)
    list(stack.servers())

    assert stat.S_IMODE(stack.folder.root.stat().st_mode) == 0o700
    for path in ("environment", "valkey.secret", "valkey/valkey.conf"):
        assert stat.S_IMODE((stack.folder.root / path).stat().st_mode) == 0o600, path
