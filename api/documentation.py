"""``/openapi.json``, and ``/docs``: Swagger UI from a package, without a call to any other host."""

from __future__ import annotations

from typing import Any

from flask import Flask, redirect, url_for
from flask_openapi3.openapi import OpenAPI
from flask_openapi3_swagger.plugins import RegisterPlugin as SwaggerUi  # type: ignore[import-untyped]
from werkzeug.wrappers import Response

from api.authentication import GUARDED, REFUSALS, SECURITY
from api.problems import documented


def register(app: OpenAPI) -> None:
    """Serve the OpenAPI document of ``app`` as it stands, and the page that shows it."""
    document = app.api_doc
    document_keys(document)
    app.add_url_rule("/openapi.json", "openapi", lambda: document)
    add_page(app)


def document_keys(document: dict[str, Any]) -> None:
    """Say of every operation that is guarded that it takes a key, and how it answers without a good one."""
    answers = documented(*REFUSALS)
    refusals = {str(int(status)): answers[status] for status in REFUSALS}
    for path, operations in document["paths"].items():
        if path.startswith(GUARDED):
            for operation in operations.values():
                operation["security"] = SECURITY
                operation["responses"] |= refusals


def add_page(app: Flask) -> None:
    """Serve the documentation page."""
    app.config["SWAGGER_CONFIG"] = {"validatorUrl": None}  # by default the document is sent to validator.swagger.io
    app.register_blueprint(SwaggerUi.register(doc_url="../openapi.json"), url_prefix="/docs")

    @app.get("/docs")
    def docs() -> Response:
        return redirect(url_for("swagger.swagger"))
