"""The Celery application, its configuration and its tasks.

The API sends messages through it; the workers and the light worker run it (``celery -A tasks.celery``). It also carries
the parts that a task body needs: the service, and in a worker with a device the runner.
"""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

from celery import Celery
from celery.signals import after_setup_logger, celeryd_init

from tasks import batches, housekeeping, retention, routing, webhooks
from tasks.errors import DeliveryFailed
from tasks.logs import keep_secrets_out
from tasks.service import Service, build_service
from tasks.settings import Settings, settings


class Runner(Protocol):
    """Works on jobs. The worker installs it when its pipeline is warm, so that nothing here imports torch."""

    def __call__(self, job_id: str) -> None:
        """Work on the interactive job of this id."""


class Application(Celery):
    """Celery with the service, and in a worker with a device the runner."""

    runner: Runner | None = None

    def __init__(self, configuration: Settings) -> None:
        super().__init__("stokehold", broker=configuration.broker_url)
        self.configuration = configuration
        self.conf.update(celery_options(configuration))

    @cached_property
    def service(self) -> Service:
        return build_service(self.configuration, self)


def celery_options(configuration: Settings) -> dict[str, object]:
    """Celery's own options, each with its reason."""
    return {
        "accept_content": ["json"],
        "task_serializer": "json",
        "task_ignore_result": True,
        "task_default_queue": routing.LIGHT_QUEUE,
        # A worker takes a message only when a thread is free to begin on it: nothing is reserved and then lost with it.
        # The message is acknowledged at once; from then on the lease in the job store brings the job back.
        "worker_disable_prefetch": True,
        "worker_prefetch_multiplier": 1,
        "task_acks_late": False,
        "broker_transport_options": {
            "socket_connect_timeout": 1,
            # Or whoever sends a message waits for ever for a broker that stands still. Workers ask it anew each second.
            "socket_timeout": 5,
            "socket_keepalive": True,
        },
        # The default blocks a request for 19 s when the broker is away; the job is recorded and can be sent later.
        "task_publish_retry_policy": {"max_retries": 1, "interval_start": 0, "interval_step": 0.1},
        "broker_connection_retry_on_startup": True,
        "worker_consumer": "tasks.consumer:Consumer",
        "broker_connection_max_retries": None,  # by default a worker ends after a hundred, within an hour
        "beat_schedule": {
            task: {
                "task": task,
                "schedule": configuration.housekeeping_s,
                "options": {"expires": configuration.housekeeping_s, "queue": routing.LIGHT_QUEUE},
            }
            for task in (routing.HOUSEKEEPING, routing.RETENTION, routing.PLAN_BATCHES, routing.ADVANCE_BATCHES)
        },
    }


app = Application(settings())


@after_setup_logger.connect
def configure_logs(**_: object) -> None:
    """A worker's logs are set up by Celery."""
    keep_secrets_out(prompts=app.configuration.log_prompts)


@celeryd_init.connect
def restrict_remote_control(**_: object) -> None:
    """A worker obeys no command that acts."""
    from tasks.remote_control import refuse_commands_that_act  # noqa: PLC0415 (Celery's worker, which the API has not)

    refuse_commands_that_act()


@app.task(name=routing.GENERATE)
def generate(job_id: str) -> None:
    """Draw the pictures of an interactive job."""
    installed_runner()(job_id)


def installed_runner() -> Runner:
    """The runner of this worker.

    Raises:
        RuntimeError: the worker was started in another way than ours.
    """
    if app.runner is None:
        raise RuntimeError("No runner is installed. Start this worker with: python -m workers --base <slug>")
    return app.runner


@app.task(name=routing.HOUSEKEEPING)
def housekeep() -> None:
    """Bring back what a dead process left behind."""
    housekeeping.housekeeping(app.service)


@app.task(name=routing.RETENTION)
def remove_expired() -> None:
    """Remove what has been kept long enough."""
    retention.remove_expired(app.service)


@app.task(name=routing.PLAN_BATCHES)
def plan_batches() -> None:
    """Check the lines of new batches and put them into the order of drawing."""
    batches.plan_batches(app.service)


@app.task(name=routing.ADVANCE_BATCHES)
def advance_batches() -> None:
    """Let lines of batches become jobs, and collect their results."""
    batches.advance_batches(app.service)


@app.task(
    name=routing.DELIVER,
    autoretry_for=(DeliveryFailed,),
    max_retries=None,  # webhooks.deliver knows when to give up
    retry_backoff=webhooks.FIRST_RETRY_S,
    retry_backoff_max=webhooks.MAX_RETRY_S,
    retry_jitter=True,
)
def deliver(job_id: str) -> None:
    """Tell a job's submitter that it has ended."""
    webhooks.deliver(app.service, job_id)
