"""The OpenAPI document and the page that shows it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV31SpecValidator

from api import create_app
from tasks.requests.job import MAX_SIDE
from tests.support.services import make_service


@pytest.fixture
def client(tmp_path: Path) -> FlaskClient:
    return create_app(make_service(tmp_path)).test_client()


@pytest.fixture
def document(client: FlaskClient) -> Any:
    return client.get("/openapi.json").json


def operations(document: Any) -> dict[str, Any]:
    return {
        f"{method} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def test_the_document_is_valid(document: Any) -> None:
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_every_error_is_a_problem_document(document: Any) -> None:
    for operation in operations(document).values():
        errors = {status: answer for status, answer in operation["responses"].items() if not status.startswith("2")}
        assert "default" in errors
        for error in errors.values():
            assert error["content"] == {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            }


def test_a_request_has_no_unknown_fields(document: Any) -> None:
    assert document["components"]["schemas"]["JobRequest"]["additionalProperties"] is False


def test_every_bound_is_written_as_json_schema_has_it(document: Any) -> None:
    text = json.dumps(document)

    assert not [name for name in ("gt", "ge", "lt", "le", "max_length", "min_length") if f'"{name}":' in text]
    assert document["components"]["schemas"]["JobRequest"]["properties"]["width"]["anyOf"][0]["maximum"] == MAX_SIDE


def test_the_page_shows_the_document_and_asks_no_other_host(client: FlaskClient) -> None:
    page = client.get("/docs", follow_redirects=True)

    assert page.status_code == 200
    assert "../openapi.json" in page.text
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page.text)
    for asset in re.findall(r"""(?:src|href)="([^"]+)\"""", page.text):
        assert client.get(f"/docs/{asset}", buffered=True).status_code == 200
