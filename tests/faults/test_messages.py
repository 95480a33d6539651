"""Messages on a base model's queue that are not this service's: each is dropped, and the worker goes on."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tasks.jobs.job import Job, Status
from tasks.lanes.queues import queue_of
from tasks.service import Service
from tests.support.worker_process import WorkerProcess

pytestmark = pytest.mark.slow


def message(**changed: object) -> str:
    """A message of Celery's, with other parts."""
    whole = {
        "body": "W1siYSJdLCB7fSwge31d",
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"task": "generate", "id": "1", "lang": "py"},
        "properties": {"delivery_info": {}, "delivery_tag": "x", "body_encoding": "base64"},
    }
    return json.dumps({**whole, **changed})


FOREIGN = [
    *("garbage", "", "{}", "[]", "null", "1", '"text"', "{", "[" * 100_000, "\u0000", "x" * 5_000_000),
    *(message(body="?"), message(body=None), message(body="bm90IEpTT04="), message(body="MQ=="), message(body="e30=")),
    *(message(headers={}), message(headers=None), message(headers=[]), message(headers={"task": "generate"})),
    *(message(headers={"task": "unknown", "id": "1"}), message(headers={"task": 1, "id": 1})),
    *(message(properties={}), message(properties=None), message(properties={"delivery_tag": "x"})),
    message(**{"content-type": "application/x-python-serialize", "content-encoding": "binary"}),
    message(**{"content-type": 1, "content-encoding": 1}),
]


def test_a_message_that_is_not_ours_is_dropped_and_the_worker_goes_on(
    start: Callable[..., WorkerProcess], submit: Callable[..., Job], ended: Callable[[Job], Job], service: Service
) -> None:
    worker = start()

    for text in FOREIGN:
        service.valkey.lpush(queue_of("demo"), text)
        assert ended(submit()).status is Status.SUCCEEDED, text[:100]

    assert not worker.is_gone
    assert service.valkey.llen(queue_of("demo")) == 0


@pytest.mark.parametrize("extra", [b"\xff\xfe", b"\x00" * 1000])
def test_bytes_that_are_no_text_are_dropped_too(
    start: Callable[..., WorkerProcess],
    submit: Callable[..., Job],
    ended: Callable[[Job], Job],
    service: Service,
    extra: bytes,
) -> None:
    worker = start()

    service.valkey.lpush(queue_of("demo"), extra)

    assert ended(submit()).status is Status.SUCCEEDED
    assert not worker.is_gone
