"""The Celery application, its configuration and its one task.

The API and housekeeping send messages through it; the workers run it. It also carries the parts that a task body needs:
the service, and in a worker the runner.
"""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

from celery import Celery
from celery.signals import after_setup_logger, celeryd_init

from tasks import celery_transport
from tasks.lanes import queues
from tasks.logs import make_safe_records
from tasks.service import Service
from tasks.settings import Settings, settings


class Runner(Protocol):
    """Works on jobs. The worker installs it when its pipeline is warm, so that nothing here imports torch."""

    def __call__(self, job_id: str) -> None:
        """Work on the interactive job of this id."""


class Application(Celery):
    """Celery with the service, and in a worker with a device the runner."""

    runner: Runner | None = None

    def __init__(self, configuration: Settings) -> None:
        super().__init__("stokehold", broker=configuration.valkey_url)
        self.configuration = configuration
        self.conf.update(celery_options())

    @cached_property
    def service(self) -> Service:
        return Service.build(self.configuration, self)


def celery_options() -> dict[str, object]:
    """Celery's own options, each with its reason."""
    return {
        "accept_content": ["json"],
        "task_serializer": "json",
        "task_ignore_result": True,
        # A worker takes a message only when a thread is free to begin on it: nothing is reserved and then lost with it.
        # The message is acknowledged at once; from then on the lease in the job store brings the job back.
        "worker_disable_prefetch": True,
        "worker_prefetch_multiplier": 1,
        "task_acks_late": False,
        "broker_transport_options": {
            "socket_connect_timeout": 1,
            # Or the sender of a message waits for ever for a Valkey that stalls. Workers ask it anew each second.
            "socket_timeout": 5,
            "socket_keepalive": True,
        },
        # The default blocks a request for 19 s when Valkey is unavailable; the job is recorded and can be sent later.
        "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0, "interval_step": 0.1},
        "broker_connection_retry_on_startup": True,
        "worker_consumer": "tasks.celery_worker:Consumer",
        "broker_connection_max_retries": None,  # by default a worker ends after a hundred, within an hour
    }


celery_transport.install()
app = Application(settings())


@after_setup_logger.connect
def configure_logs(**_: object) -> None:
    """A worker's logs are set up by Celery."""
    make_safe_records(prompts=app.configuration.log_prompts)


@celeryd_init.connect
def restrict_remote_control(**_: object) -> None:
    """A worker obeys no command that acts."""
    from tasks.celery_worker import refuse_commands_that_act  # noqa: PLC0415 (Celery's worker, which the API has not)

    refuse_commands_that_act()


@app.task(name=queues.GENERATE)
def generate(job_id: str) -> None:
    """Draw the images of an interactive job."""
    installed_runner()(job_id)


def installed_runner() -> Runner:
    """The runner of this worker.

    Raises:
        RuntimeError: the worker was not started by ``stokehold worker``.
    """
    if app.runner is None:
        raise RuntimeError("No runner is installed. Start this worker with: scripts/stokehold worker --base <slug>")
    return app.runner
