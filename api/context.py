"""What the views of an application share."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import BoundedSemaphore
from typing import cast

from flask import Flask, current_app

from tasks.service import Service

EXTENSION = "stokehold"

MAX_HELD_ANSWERS = 12
"""Each held answer occupies one of a process's 16 threads; the others stay free for submissions and health checks."""


@dataclass(frozen=True)
class Context:
    """The service behind the views, and how many more answers may be held until a job has moved on or ended."""

    service: Service
    held_answers: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(MAX_HELD_ANSWERS))


def install_service(app: Flask, service: Service) -> None:
    """Give the views of ``app`` their service."""
    app.extensions[EXTENSION] = Context(service)


def service_of(app: Flask) -> Service:
    """The service of an application."""
    return cast(Context, app.extensions[EXTENSION]).service


def current_context() -> Context:
    """The context of the application that handles the present request."""
    return cast(Context, current_app.extensions[EXTENSION])


def current_service() -> Service:
    """Its service."""
    return current_context().service
