"""HTTP in and out. Never imports torch.

Served by ``gunicorn --config python:api.gunicorn_config``.
"""

from __future__ import annotations

import logging
import sys

from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI

from api.compat import hub, openai
from api.http import authentication, documentation, problems, security_headers, web_pages
from api.http.context import install_service
from api.http.root_path import RootPath
from api.v1 import (
    adapter_uploads,
    adapters,
    batches,
    cancel,
    health,
    inspect,
    jobs,
    models,
    page,
    replay,
    retry,
    webhooks,
)
from storage import StorageError, StorageNotReachable
from tasks import __version__
from tasks.celery import app as celery_app
from tasks.errors import StokeholdError
from tasks.logs import configure_logging
from tasks.service import Service
from tasks.webhooks.secrets import service_signer

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 64 * 1024
"""Room for the longest ``JobRequest``: two prompts of 2000 emoji, each escaped as 12 bytes, and the short fields."""

INFO = Info(
    title="Stokehold",
    version=__version__,
    summary="Images from many LoRA adapters on a few warm base models",
    description="Submit a job, poll it until it has succeeded, fetch its images. "
    "Every error is a problem document of RFC 9457, `application/problem+json`.",
)


def create_app(service: Service | None = None) -> OpenAPI:
    """Return the WSGI application.

    Args:
        service: the parts that the views use; by default those of the Celery application, from the settings.
    """
    service = service or ready_service()
    configure_logging(service.settings.log_level, prompts=service.settings.log_prompts)
    app = OpenAPI(
        __name__,
        info=INFO,
        security_schemes=authentication.SECURITY_SCHEMES,
        doc_ui=False,  # its start page would take "/"; see api.http.documentation
        validation_error_status=problems.ANY_STATUS,
        validation_error_model=problems.Problem,
        validation_error_callback=problems.of_validation,
    )
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.wsgi_app = RootPath(app.wsgi_app, service.settings.api_root_path)  # type: ignore[assignment,method-assign]
    install_service(app, service)
    problems.register(app)
    security_headers.register(app)
    web_pages.register(app)
    authentication.register(app)
    for blueprint in (
        jobs.blueprint,
        cancel.blueprint,
        replay.blueprint,
        retry.blueprint,
        retry.bulk,
        batches.blueprint,
        models.blueprint,
        adapters.blueprint,
        adapter_uploads.blueprint,
        inspect.blueprint,
        hub.blueprint,
        openai.blueprint,
        webhooks.blueprint,
        health.blueprint,
    ):
        app.register_api(blueprint)
    app.register_blueprint(page.blueprint)
    documentation.register(app)
    return app


def ready_service() -> Service:
    """Return the service of the settings, with its bucket made where that is allowed.

    Storage that is temporarily unavailable does not keep the API from starting: ``/readyz`` reports it.

    Raises:
        SystemExit: the operator must change a setting; the message says which.
    """
    try:
        service = celery_app.service
        if service.settings.webhook_secret is not None:
            service_signer(service.settings.webhook_secret)
        service.storage.ensure_buckets()
    except StorageNotReachable as error:
        logger.warning("%s", error)
    except (StokeholdError, StorageError) as error:
        sys.exit(f"stokehold: {error}")
    return celery_app.service
