"""A job goes through the API and a worker with everything logged; what must not be there is not."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api import create_app
from tasks.service import Service
from tests.support.services import make_service
from tests.support.warm_workers import warm_worker

pytestmark = [
    pytest.mark.torch,
    pytest.mark.filterwarnings("default"),  # diffusers, transformers and peft warn of one another
]

MARK = "zanzibar"
LONG_PROMPT = f"{MARK} a red circle " * 60
"""More than the text encoder takes: diffusers tells what it leaves out."""


class Collector(logging.Handler):
    """Keeps every line as a handler would write it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.lines.append(logging.Formatter("%(name)s: %(message)s").format(record))


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Gets every record from DEBUG on, also of those loggers that keep theirs from the root."""
    collector, factory = Collector(), logging.getLogRecordFactory()
    loggers = [logging.getLogger(name) for name in (None, "diffusers", "transformers")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.addHandler(collector)
    yield collector
    for logger, level in zip(loggers, levels, strict=True):
        logger.removeHandler(collector)
        logger.setLevel(level)
    logging.setLogRecordFactory(factory)


@pytest.fixture
def service(servers: dict[str, Any], tmp_path: Path) -> Service:
    return make_service(tmp_path, log_level="DEBUG", **servers)


def test_no_line_holds_a_prompt_a_token_or_a_presigned_url(service: Service, collector: Collector) -> None:
    client = create_app(service).test_client()
    headers = {"Authorization": "Bearer token-of-a-client"}
    request = {"prompt": LONG_PROMPT, "negative_prompt": MARK, "steps": 1, "adapters": [{"ref": "pixel"}]}

    drawn = client.post("/v1/jobs", json={**request, "adapters": []}, headers=headers).get_json()["id"]
    failed = client.post("/v1/jobs", json=request, headers=headers).get_json()["id"]  # before its base model is known
    runner = warm_worker(service).runner
    runner(drawn)
    runner(failed)
    record = client.get(f"/v1/jobs/{drawn}", headers=headers).get_json()
    client.post("/v1/jobs", json={"prompt": MARK, "steps": MARK}, headers=headers)

    written = "\n".join(collector.lines)
    assert f"[job={drawn} attempt=1 base_model=demo] succeeded" in written
    assert f"[job={failed} attempt=1 base_model=demo] failed" in written
    assert "truncated because" in written, "diffusers was heard"
    assert "X-Amz-Signature" in record["images"][0]["url"]
    assert re.findall(f"{MARK}|token-of-a-client|X-Amz-Signature|test-secret-key|AWS4-HMAC", written) == []


def test_every_line_about_a_job_names_it_on_whichever_thread_and_no_line_names_another(
    service: Service, collector: Collector
) -> None:
    client = create_app(service).test_client()
    request = {"prompt": LONG_PROMPT, "steps": 1}
    jobs = [client.post("/v1/jobs", json=request).get_json()["id"] for _ in range(2)]
    runner = warm_worker(service).runner

    for job in jobs:
        collector.records.clear()
        runner(job)

        prefix = f"[job={job} attempt=1 base_model=demo] "
        assert [record for record in collector.records if not record.getMessage().startswith(prefix)] == []
        assert {record.threadName for record in collector.records} > {threading.current_thread().name}

    logging.getLogger("after").warning("between two jobs")
    assert collector.records[-1].getMessage() == "between two jobs"
