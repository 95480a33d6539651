"""The service that the views of an application use."""

from __future__ import annotations

from typing import cast

from flask import Flask, current_app

from tasks.service import Service

EXTENSION = "stokehold"


def install_service(app: Flask, service: Service) -> None:
    """Give the views of ``app`` their service."""
    app.extensions[EXTENSION] = service


def current_service() -> Service:
    """The service of the application that handles the present request."""
    return cast(Service, current_app.extensions[EXTENSION])
