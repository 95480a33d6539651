"""The rules that ``docker-compose.yml`` keeps; tests/acceptance/test_compose.py runs its commands."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.ports import Ports
from stack.seaweedfs import SIGNING_KEYS, options
from tasks.base_models.registry import read_base_models
from tasks.loops.rounds import LOOPS
from tasks.settings import PREFIX, Settings
from tests.support.base_models import switched_on
from tests.support.compose import SECRETS, TEXT, compose_file
from tests.support.up import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "stokehold"}
BASE_WORKERS = {name: service for name, service in OURS.items() if name.startswith("worker-")}
GPU_WORKERS = {name: service for name, service in BASE_WORKERS.items() if name != "worker-demo"}
ELSEWHERE = {"HF_TOKEN"}
"""Variables that the Hub's client reads itself."""


def seconds(duration: str) -> int:
    """A duration as compose writes it, of one unit."""
    number, unit = re.fullmatch(r"(\d+)([sm])", duration).groups()  # type: ignore[union-attr]
    return int(number) * {"s": 1, "m": 60}[unit]


def option(service: dict[str, Any], name: str) -> str:
    """The value of an option of a command that is written as a list."""
    command: list[str] = service["command"]
    return command[command.index(name) + 1]


def test_every_part_is_there() -> None:
    assert set(SERVICES) == {"valkey", "s3", "api", *LOOPS, "worker-demo", "worker-sdxl", "worker-sd15"}


def test_a_worker_runs_only_where_its_profile_is_asked_for() -> None:
    profiles = {name: service.get("profiles") for name, service in SERVICES.items()}

    assert {name: profile for name, profile in profiles.items() if profile} == {
        "worker-demo": ["demo"],
        "worker-sdxl": ["sdxl"],
        "worker-sd15": ["sd15"],
    }


@pytest.mark.parametrize("name", SERVICES)
def test_every_part_says_whether_it_is_healthy(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"]


@pytest.mark.parametrize("name", OURS)
def test_our_parts_wait_until_the_servers_are_healthy(name: str) -> None:
    assert OURS[name]["depends_on"] == {
        "valkey": {"condition": "service_healthy"},
        "s3": {"condition": "service_healthy"},
    }


@pytest.mark.parametrize("name", SERVICES)
def test_no_part_gains_privileges(name: str) -> None:
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert SERVICES[name]["security_opt"] == ["no-new-privileges:true"]


def test_no_part_keeps_privileges_but_the_storage_to_drop_its_own() -> None:
    kept = {name: service["cap_add"] for name, service in SERVICES.items() if "cap_add" in service}

    assert kept == {"s3": ["CHOWN", "SETUID", "SETGID"]}
    assert SERVICES["valkey"]["user"] == "valkey"


def test_the_image_does_not_run_as_root() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")

    assert re.findall(r"^USER (.*)$", dockerfile, re.MULTILINE) == ["stokehold"]
    assert "stokehold" in dockerfile.partition("useradd")[2]


def test_the_image_has_everything_that_runs() -> None:
    rules = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    let_in = {rule.removeprefix("!") for rule in rules if rule.startswith("!")}

    assert "*" in rules
    assert {"api", "storage", "tasks", "workers", "stokehold.py", "models.toml", "demo/base", "demo/loras"} <= let_in


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting(name: str) -> None:
    known = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}

    assert set(OURS[name]["environment"]) <= known | ELSEWHERE


@pytest.mark.parametrize("name", ["api", "webhooks"])
def test_who_takes_webhooks_and_who_sends_them_agree_on_them(name: str) -> None:
    given = compose_file({**SECRETS, "WEBHOOK_ALLOW_HTTP": "true"})
    silent = compose_file(SECRETS)

    ours, without = given["services"][name]["environment"], silent["services"][name]["environment"]

    assert ours["STOKEHOLD_WEBHOOK_ALLOW_HTTP"] == "true"
    assert without["STOKEHOLD_WEBHOOK_ALLOW_HTTP"] == "false"


def test_every_variable_of_the_file_is_explained_in_the_example() -> None:
    used = set(re.findall(r"\$\{(\w+)", TEXT))
    explained = set(re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text("utf-8"), re.MULTILINE))

    assert used == explained


def test_the_secrets_have_no_default() -> None:
    for secret in SECRETS:
        assert set(re.findall(rf"\$\{{{secret}(.*?)\}}", TEXT)) == {":?fill in .env"}


def test_the_valkey_has_a_password_and_no_published_port() -> None:
    valkey = compose_file(SECRETS)["services"]["valkey"]

    assert "ports" not in valkey
    assert "requirepass $REDISCLI_AUTH" in " ".join(valkey["command"])
    assert valkey["environment"]["REDISCLI_AUTH"] == SECRETS["VALKEY_PASSWORD"]


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_is_on_a_command_line(name: str) -> None:
    service = compose_file({**SECRETS, "HF_TOKEN": "hf_token"})["services"][name]
    shown = json.dumps([service.get("command"), service.get("entrypoint"), service["healthcheck"]])

    assert not [secret for secret in ("open-sesame", "secret", "hf_token") if f"{secret}" in shown]


@pytest.mark.parametrize("name", SERVICES)
def test_no_part_takes_the_machine_from_the_others(name: str) -> None:
    service = compose_file(SECRETS)["services"][name]

    assert re.fullmatch(r"\d+g", service["mem_limit"])
    assert service["pids_limit"] <= 2048
    assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "5"}}


@pytest.mark.parametrize("name", SERVICES)
def test_no_part_writes_but_into_its_volumes_and_its_temporary_folder(name: str) -> None:
    service = SERVICES[name]
    temporary = [mount.partition(":")[0] for mount in service["tmpfs"]]
    mounted = [volume.split(":")[1] for volume in service.get("volumes", [])]

    assert service["read_only"] is True
    assert [*temporary, *mounted].count("/tmp") == 1
    assert all(volume.endswith(":ro") for volume in service.get("volumes", []) if volume.startswith("."))


def test_what_a_worker_compiles_may_be_run_in_its_temporary_folder() -> None:
    assert {mount for worker in BASE_WORKERS.values() for mount in worker["tmpfs"]} == {"/tmp:exec,size=1g"}


def test_a_full_valkey_refuses_writes_before_it_is_killed() -> None:
    assert (option(SERVICES["valkey"], "--maxmemory"), SERVICES["valkey"]["mem_limit"]) == ("1gb", "2g")


def test_only_those_reach_a_server_that_use_it() -> None:
    reach = {
        network: {name for name, service in SERVICES.items() if network in service["networks"]}
        for network in COMPOSE["networks"]
    }

    assert reach["valkey"] == {"valkey", *OURS}
    assert reach["storage"] == {"s3", *OURS} - {"webhooks"}
    assert reach["receivers"] == {"webhooks"}
    assert COMPOSE["networks"]["valkey"] == {"internal": True}


def test_only_those_have_the_token_of_the_hub_that_read_from_it() -> None:
    having = {name for name, service in SERVICES.items() if "HF_TOKEN" in service.get("environment", {})}

    assert having == {"api", "light-worker", *BASE_WORKERS}


def test_the_inner_parts_of_the_storage_serve_no_stranger() -> None:
    environment = compose_file(SECRETS)["services"]["s3"]["environment"]

    assert "-disableHttp=true" in SERVICES["s3"]["command"]
    assert {environment[name] for name in SIGNING_KEYS} == {SECRETS["S3_SECRET_KEY"]}


def test_the_valkey_loses_and_forgets_nothing() -> None:
    valkey = SERVICES["valkey"]

    assert option(valkey, "--appendonly") == "yes"
    assert option(valkey, "--maxmemory-policy") == "noeviction"
    assert valkey["volumes"] == ["valkey-data:/data"]


def test_published_ports_are_on_loopback_unless_told_otherwise() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert published == ["${S3_LISTEN:-127.0.0.1:8333}:8333", "${API_LISTEN:-127.0.0.1:8000}:8000"]


def test_the_storage_is_switched_off_as_far_as_that_of_scripts_up(tmp_path: Path) -> None:
    switches = {switch for switch in options(tmp_path, Ports.block(8000)) if switch.endswith(("=false", "=0", "=true"))}

    assert switches <= set(SERVICES["s3"]["command"])


def test_the_storage_makes_the_bucket_that_our_parts_use() -> None:
    for service in OURS.values():
        assert f"-bucket={service['environment']['STOKEHOLD_S3_BUCKET']}" in SERVICES["s3"]["command"]


@pytest.mark.parametrize("name", GPU_WORKERS)
def test_a_worker_of_a_large_model_reserves_a_gpu(name: str) -> None:
    [device] = GPU_WORKERS[name]["deploy"]["resources"]["reservations"]["devices"]

    assert device["capabilities"] == ["gpu"]
    assert GPU_WORKERS[name]["environment"]["STOKEHOLD_DEVICE"] == "cuda"


def test_parts_are_given_the_time_that_they_need_to_end() -> None:
    assert all(seconds(worker["stop_grace_period"]) >= 600 for worker in BASE_WORKERS.values())
    assert seconds(SERVICES["s3"]["stop_grace_period"]) >= 35
    assert seconds(SERVICES["api"]["stop_grace_period"]) > 30, "an answer may be held that long"


def test_every_named_volume_is_declared() -> None:
    mounted = {
        source
        for service in SERVICES.values()
        for source, *_ in (volume.split(":") for volume in service.get("volumes", []))
        if not source.startswith(".")
    }

    assert mounted == set(COMPOSE["volumes"])


def test_every_base_model_of_a_worker_has_an_entry_in_the_models_file(tmp_path: Path) -> None:
    all_on = tmp_path / "models.toml"
    all_on.write_text(switched_on(), "utf-8")
    slugs = {model.slug for model in read_base_models(all_on)}

    assert {worker["command"].split()[-1] for worker in BASE_WORKERS.values()} <= slugs


@pytest.mark.parametrize("process", LOOPS)
def test_a_process_with_loops_is_healthy_when_they_are_on_time(process: str) -> None:
    assert OURS[process]["command"] == f"python -m tasks.processes {process}"
    assert OURS[process]["healthcheck"]["test"][1:] == [*OURS[process]["command"].split(), "--check"]


def test_the_workers_differ_in_their_base_model_alone() -> None:
    commands = {name: worker["command"].split() for name, worker in BASE_WORKERS.items()}

    assert {tuple(command[:-1]) for command in commands.values()} == {("python", "-m", "workers", "--base")}
    assert {name: f"worker-{command[-1]}" for name, command in commands.items()} == {name: name for name in commands}


@pytest.mark.parametrize("missing", SECRETS)
def test_the_file_demands_its_secrets(missing: str) -> None:
    with pytest.raises(KeyError, match=missing):
        compose_file({name: value for name, value in SECRETS.items() if name != missing})


def test_docker_takes_the_file_where_it_is_installed() -> None:
    ours = compose_file(SECRETS)["services"]

    theirs = docker_compose_config()

    if theirs is not None:
        assert set(theirs) == set(ours)
        assert theirs["valkey"]["command"] == ours["valkey"]["command"]
        assert theirs["api"]["command"] == shlex.split(ours["api"]["command"])


def docker_compose_config() -> dict[str, Any] | None:
    """The services as Docker's client understands them; None where it has no compose plugin."""
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        return None
    config = subprocess.run(
        [docker, "compose", "--profile", "*", "config", "--format", "json"],
        cwd=ROOT,
        env={**os.environ, **SECRETS},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(config.stdout)["services"])
