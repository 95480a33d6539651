"""State that the views of an application share."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import BoundedSemaphore
from typing import cast

from flask import Flask, current_app

from api.http.transfers import Transfers
from tasks.service import Service

EXTENSION = "stokehold"

MAX_HELD_RESPONSES = 12
"""Each held response, and each file transfer, occupies one of a process's 32 threads; the others stay
free for submissions and health checks."""

MAX_UPLOADS, MAX_UPLOADS_OF_ONE = 8, 4
MAX_DOWNLOADS, MAX_DOWNLOADS_OF_ONE = 4, 2


@dataclass(frozen=True)
class Context:
    """The service behind the views, and the bounds of work that occupies a thread for long.

    Attributes:
        held_responses: responses that wait until a job has changed or ended.
        uploads: files that come in.
        downloads: results that go out.
    """

    service: Service
    held_responses: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(MAX_HELD_RESPONSES))
    uploads: Transfers = field(default_factory=lambda: Transfers(MAX_UPLOADS, MAX_UPLOADS_OF_ONE))
    downloads: Transfers = field(default_factory=lambda: Transfers(MAX_DOWNLOADS, MAX_DOWNLOADS_OF_ONE))


def install_service(app: Flask, service: Service) -> None:
    """Give the views of ``app`` their service."""
    app.extensions[EXTENSION] = Context(service)


def service_of(app: Flask) -> Service:
    """Return the service of an application."""
    return cast(Context, app.extensions[EXTENSION]).service


def current_context() -> Context:
    """Return the context of the application that handles the present request."""
    return cast(Context, current_app.extensions[EXTENSION])


def current_service() -> Service:
    """Return the service of the application that handles the present request."""
    return current_context().service
