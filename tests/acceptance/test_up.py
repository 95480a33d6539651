"""``scripts/up`` as a user meets it: two lives of one folder, one ended by Ctrl-C, one with parts that are killed.

The tests share the two starts, which is what takes the time.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path

import psutil
import pytest

from stack.ports import LOOPBACK, Ports
from stack.probes import answers_200
from stack.services import api_url
from tasks.api_client import ApiClient
from tests.support.processes import seen_of
from tests.support.up import Up, running_up
from tests.support.waiting import patience, wait_until

pytestmark = pytest.mark.slow

WAITING_JOBS = 4
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class FirstLife:
    """What is known of the first life when it is over."""

    output: str
    exit_code: int
    survivors: list[psutil.Process]
    answer: str
    """To the curl line that it printed."""
    drawn: str
    """The job that was finished."""
    waiting: list[str]
    """The jobs that were not."""


@pytest.fixture(scope="module")
def ports() -> Ports:
    return Ports.free()


@pytest.fixture(scope="module")
def client(ports: Ports) -> Iterator[ApiClient]:
    with ApiClient(api_url(ports.api), None) as client:
        yield client


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("up")


@pytest.fixture(scope="module")
def first_life(folder: Path, ports: Ports, client: ApiClient) -> FirstLife:
    """Submit with the printed curl line, wait for that job, submit more, and press Ctrl-C before they are drawn."""
    with running_up(folder / "var", ports, folder / "first") as up:
        up.wait_until_ready()
        answer = subprocess.run(printed_curl_line(up.output), capture_output=True, text=True, check=True).stdout
        drawn = json.loads(answer.splitlines()[-1])["id"]
        client.finished_job(drawn, meanwhile=lambda: None)
        waiting = [client.submit_job({"prompt": "a blue square"}) for _ in range(WAITING_JOBS)]
        parts = up.parts()
        exit_code = up.interrupt()
        return FirstLife(up.output, exit_code, survivors(parts), answer, drawn, waiting)


@pytest.fixture(scope="module")
def second_life(first_life: FirstLife, folder: Path, ports: Ports) -> Iterator[Up]:
    """The next start in the same folder."""
    with running_up(folder / "var", ports, folder / "second") as up:
        up.wait_until_ready()
        yield up


def printed_curl_line(output: str) -> list[str]:
    """The curl line, as a shell would take it."""
    [line] = re.findall(r"^ *(curl .*)$", output, re.MULTILINE)
    return ["curl", "--silent", "--show-error", *shlex.split(line)[1:]]


def survivors(parts: list[psutil.Process]) -> list[psutil.Process]:
    """Those that do not end within seconds."""
    alive: list[psutil.Process] = psutil.wait_procs(parts, timeout=patience(5))[1]
    return alive


def test_the_printed_curl_line_submits_a_job(first_life: FirstLife) -> None:
    head, _, _ = first_life.answer.partition("\r\n\r\n")

    assert head.startswith("HTTP/1.1 202")
    assert f"Location: /v1/jobs/{first_life.drawn}" in head


def test_ctrl_c_stops_every_part_in_order_and_leaves_no_orphan(first_life: FirstLife) -> None:
    ended = re.findall(r"^ *(\S+) +(stopped|killed) after", first_life.output, re.MULTILINE)

    assert [name for name, _ in ended] == [
        *("worker-demo", "webhooks", "light-worker", "housekeeping", "api", "s3", "valkey")
    ]
    assert {name for name, how in ended if how == "killed"} <= {"s3"}  # on a busy machine: docs/decisions/0005
    assert first_life.exit_code == 0
    assert first_life.survivors == []


def test_the_next_start_finds_the_images_again(first_life: FirstLife, second_life: Up, client: ApiClient) -> None:
    record = client.finished_job(first_life.drawn, meanwhile=lambda: None)

    assert record["status"] == "succeeded"
    assert client.get(record["images"][0]["url"]).body.startswith(PNG_SIGNATURE)


def test_the_next_start_draws_the_jobs_that_were_waiting(
    first_life: FirstLife, second_life: Up, client: ApiClient
) -> None:
    records = [client.finished_job(job_id, meanwhile=lambda: None) for job_id in first_life.waiting]

    assert [record["status"] for record in records] == ["succeeded"] * WAITING_JOBS


def test_nothing_listens_beyond_loopback(second_life: Up, ports: Ports) -> None:
    addresses = {
        connection.laddr
        for connections in seen_of(second_life.parts(), lambda part: part.net_connections(kind="inet"))
        for connection in connections
        if connection.status == psutil.CONN_LISTEN
    }

    assert {address.ip for address in addresses} == {LOOPBACK}
    assert {address.port for address in addresses} == set(astuple(second_life.ports)) | {
        second_life.ports.of_seaweedfs["admin_grpc"]
    }


def test_a_taken_port_is_an_error_that_names_it(second_life: Up, tmp_path: Path) -> None:
    with running_up(tmp_path / "var", second_life.ports, tmp_path / "output") as other:
        assert other.process.wait() == 1

    assert f"Port {second_life.ports.api} of {LOOPBACK}, which api wants, is taken." in other.output
    assert "scripts/up --port" in other.output
    assert "Traceback" not in other.output


def test_a_second_start_in_the_same_folder_is_refused(second_life: Up, folder: Path, tmp_path: Path) -> None:
    with running_up(folder / "var", second_life.ports, tmp_path / "output") as other:
        assert other.process.wait() == 1

    assert f"process {second_life.process.pid}" in other.output
    assert "Traceback" not in other.output


@pytest.mark.parametrize("name", ["housekeeping", "valkey"])
def test_a_part_that_is_killed_is_named_and_started_anew(second_life: Up, client: ApiClient, name: str) -> None:
    killed = second_life.pid_of(name)
    assert killed is not None

    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: second_life.pid_of(name) not in (None, killed))
    wait_until(lambda: answers_200(f"{api_url(second_life.ports.api)}/readyz"), timeout_s=60)

    assert f"{name} died (killed by SIGKILL). It is started anew" in second_life.output
    assert (
        client.finished_job(client.submit_job({"prompt": "a red circle"}), meanwhile=lambda: None)["status"]
        == "succeeded"
    )
