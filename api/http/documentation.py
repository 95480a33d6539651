"""``/openapi.json``, and ``/docs``: Swagger UI from a package, without a call to any other host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import flask_openapi3_swagger  # type: ignore[import-untyped]
from flask import Blueprint, Response, current_app, render_template
from flask_openapi3.openapi import OpenAPI

from api.http.authentication import GUARDED, REFUSALS, SECURITY
from api.http.problems import documented
from api.http.security_headers import POLICY, page_policy

SWAGGER_UI = Path(flask_openapi3_swagger.__file__).parent / "templates" / "swagger"
SWAGGER_POLICY = page_policy(script="'self'", style="'self' 'unsafe-inline'", connect="'self'", img="'self' data:")
"""Swagger UI writes styles into the elements that it makes."""

blueprint = Blueprint(
    "documentation", __name__, url_prefix="/docs", static_folder=SWAGGER_UI, static_url_path="/swagger"
)


def register(app: OpenAPI) -> None:
    """Serve the OpenAPI document of ``app`` as it is now, and the page that shows it."""
    document = app.api_doc
    document_keys(document)
    app.add_url_rule("/openapi.json", "openapi", lambda: document)
    app.register_blueprint(blueprint)


def document_keys(document: dict[str, Any]) -> None:
    """Document for every guarded operation that it takes a key, and its response without a valid one."""
    responses = documented(*REFUSALS)
    refusals = {str(int(status)): responses[status] for status in REFUSALS}
    for path, operations in document["paths"].items():
        if path.startswith(GUARDED):
            for operation in operations.values():
                operation["security"] = SECURITY
                operation["responses"] |= refusals


@blueprint.get("/")
def page() -> Response:
    """Return the page. It is ours, because the package's page has inline scripts; the scripts are the package's."""
    response = Response(render_template("docs.html"))
    response.headers[POLICY] = SWAGGER_POLICY
    return response


@blueprint.get("/docs.js")
def script() -> Response:
    """Return the script that starts Swagger UI."""
    return current_app.send_static_file("docs.js")
