"""``/openapi.json``, and ``/docs``: Swagger UI from a package, without a call to any other host."""

from __future__ import annotations

from flask import Flask, redirect, url_for
from flask_openapi3.openapi import OpenAPI
from flask_openapi3_swagger.plugins import RegisterPlugin as SwaggerUi  # type: ignore[import-untyped]
from werkzeug.wrappers import Response


def register(app: OpenAPI) -> None:
    """Serve the OpenAPI document of ``app`` as it stands, and the page that shows it."""
    document = app.api_doc
    del document["components"]["securitySchemes"]  # a null where there are none, which OpenAPI does not allow
    app.add_url_rule("/openapi.json", "openapi", lambda: document)
    add_page(app)


def add_page(app: Flask) -> None:
    """Serve the documentation page."""
    app.config["SWAGGER_CONFIG"] = {"validatorUrl": None}  # by default the document is sent to validator.swagger.io
    app.register_blueprint(SwaggerUi.register(doc_url="../openapi.json"), url_prefix="/docs")

    @app.get("/docs")
    def docs() -> Response:
        return redirect(url_for("swagger.swagger"))
