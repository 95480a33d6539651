"""The commands and the health checks of ``docker-compose.yml``, outside Docker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from celery import Celery
from redis.backoff import NoBackoff
from redis.retry import Retry

from stack.folder import StackFolder
from stack.ports import Ports
from stack.services import api_url
from stack.stop_request import StopRequest
from stack.supervisor import supervised
from tasks.api_client import ApiClient
from tests.support.compose import SECRETS, compose_file
from tests.support.outside_docker import OutsideDocker
from tests.support.waiting import patience

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OutsideDocker]:
    """Every service that needs no GPU, running."""
    folder, ports = StackFolder(tmp_path_factory.mktemp("compose")), Ports.free()
    public = {"S3_PUBLIC_ENDPOINT": f"http://localhost:{ports.s3}"}
    outside = OutsideDocker(compose_file({**SECRETS, **public})["services"], folder, ports)
    with supervised(folder, StopRequest()) as supervisor:
        supervisor.start(outside.servers())
        supervisor.start(outside.ours())
        yield outside


def test_a_job_goes_all_the_way_to_an_image_that_clients_reach(outside: OutsideDocker) -> None:
    with ApiClient(api_url(outside.ports.api), None) as client:
        record = client.finished_job(
            client.submit_job({"prompt": "a red circle on a blue background"}), meanwhile=lambda: None
        )

        assert record["status"] == "succeeded"
        url = record["images"][0]["url"]
        assert url.startswith(f"http://localhost:{outside.ports.s3}/stokehold/images/")
        assert client.get(url).body.startswith(PNG_SIGNATURE)


@pytest.mark.parametrize("name", ["s3", "api", "housekeeping", "light-worker", "webhooks", "worker-demo"])
def test_a_health_check_finds_its_part_healthy(outside: OutsideDocker, name: str) -> None:
    check = outside.health_check(name)

    assert check.returncode == 0, check.stdout + check.stderr


def test_the_valkey_refuses_clients_without_its_password(outside: OutsideDocker) -> None:
    stranger = redis.Redis(port=outside.ports.valkey, retry=Retry(NoBackoff(), retries=0))

    with pytest.raises(redis.AuthenticationError), stranger:
        stranger.ping()


@pytest.mark.parametrize("command", ["shutdown", "pool_restart", "cancel_consumer", "election", "objgraph"])
def test_a_worker_obeys_no_command_that_acts(outside: OutsideDocker, command: str) -> None:
    with Celery(broker=outside.valkey_url, set_as_current=False) as app:
        everyone = {name for reply in app.control.ping(timeout=patience(60), limit=1) or () for name in reply}

        answers = app.control.broadcast(command, reply=True, timeout=patience(60), limit=1)

        assert len(everyone) == 1
        assert {name: answer for reply in answers or () for name, answer in reply.items()} == {
            name: {"error": f"KeyError('{command}')"} for name in everyone
        }
