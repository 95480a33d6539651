"""A Celery worker goes on when its Valkey has died."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Consumer, Queue

from stack.folder import StackFolder
from stack.parts import Parts
from stack.ports import Ports
from stack.valkey import valkey_part, valkey_url
from tasks.celery import Application
from tasks.celery_transport import CannotWrite
from tasks.settings import Settings
from tasks.valkey import Valkey
from tests.support.waiting import patience, wait_until

pytestmark = pytest.mark.filterwarnings("default::Warning")  # Celery's: of superusers, and of a setting to come


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    parts = Parts(StackFolder(tmp_path))
    yield parts
    parts.stop()


def consumer_of(app: Application) -> Any:
    """What takes messages in a worker; Celery adds it at run time."""
    worker: Any = app.Worker(pool="threads", concurrency=1)
    return worker.consumer


def fill_memory(valkey: Valkey, data: Path) -> None:
    valkey.config_set("maxmemory", "1mb")


def take_disk(valkey: Valkey, data: Path) -> None:
    valkey.config_set("save", "3600 1")
    shutil.rmtree(data)
    valkey.bgsave()
    wait_until(lambda: valkey.info("persistence")["rdb_last_bgsave_status"] == "err")


def make_replica(valkey: Valkey, data: Path) -> None:
    valkey.replicaof("127.0.0.1", 1)


@pytest.mark.parametrize("cannot_write", [fill_memory, take_disk, make_replica])
def test_a_valkey_that_cannot_write_does_not_end_the_worker(
    parts: Parts, tmp_path: Path, cannot_write: Callable[[Valkey, Path], None]
) -> None:
    port, data = Ports.free().valkey, tmp_path / "data"
    parts.start([valkey_part(data, port)])
    app = Application(Settings.model_validate({"valkey_url": valkey_url(port)}))
    worker = consumer_of(app)
    worker.connection = connection = app.connection_for_read()
    worker.task_consumer = Consumer(connection.default_channel, [Queue("tasks")], on_message=lambda _: None)
    worker.task_consumer.consume()
    connection.Producer().publish({}, routing_key="tasks")
    cannot_write(app.service.valkey, data)

    with pytest.raises(CannotWrite) as refused:
        connection.drain_events(timeout=patience(5))

    assert isinstance(refused.value, worker.connection_errors)
    worker.on_connection_error_after_connected(refused.value)
    assert worker.connection is None


def test_a_valkey_that_dies_with_a_message_unacknowledged_does_not_end_the_worker(parts: Parts, tmp_path: Path) -> None:
    port = Ports.free().valkey
    parts.start([valkey_part(tmp_path / "data", port)])
    app = Application(Settings.model_validate({"valkey_url": valkey_url(port)}))
    worker = consumer_of(app)
    worker.connection = connection = app.connection_for_read()
    received: list[object] = []
    tasks, other = connection.default_channel, connection.channel()
    worker.task_consumer = Consumer(tasks, [Queue("tasks")], on_message=received.append)
    worker.task_consumer.consume()
    Consumer(other, [Queue("other")]).consume()
    connection.Producer().publish({}, routing_key="tasks")
    while not received:
        connection.drain_events(timeout=patience(5))
    with pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.1)  # both channels wait for more
    parts.kill("valkey")

    worker.on_connection_error_after_connected(ConnectionError("it is gone"))

    assert worker.connection is None
