"""What gunicorn believes of the headers of a stranger on loopback: nothing."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.folder import StackFolder
from stack.parts import Parts
from stack.ports import Ports
from stack.services import api_part
from storage import S3Config
from tasks.settings import PREFIX
from tasks.valkey import connect
from tests.support.waiting import patience

MODELS = Path(__file__).parents[4] / "models.toml"


@pytest.fixture(scope="module")
def port(valkey_url: str, s3: S3Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Where the API listens, without a key, as ``scripts/up`` starts it."""
    with connect(valkey_url) as valkey:
        valkey.flushall()
    settings = {
        "VALKEY_URL": valkey_url,
        "S3_ENDPOINT": str(s3.endpoint),
        "S3_BUCKET": "forwarded-headers",
        "S3_ACCESS_KEY": str(s3.access_key),
        "S3_SECRET_KEY": str(s3.secret_key),
        "MODELS_FILE": str(MODELS),
    }
    port = Ports.free().api
    parts = Parts(StackFolder(tmp_path_factory.mktemp("api")))
    parts.start([api_part(port, {f"{PREFIX}{name}": value for name, value in settings.items()})])
    yield port
    parts.stop(urgent=True)


def answer(port: int, request: str) -> str:
    """What the API says to a request, written out."""
    with socket.create_connection(("127.0.0.1", port), timeout=patience(20)) as connection:
        connection.sendall(request.replace("\n", "\r\n").encode())
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    return received.decode()


def head(path: str, *headers: str) -> str:
    return "\n".join((f"GET {path} HTTP/1.1", "Connection: close", *headers, "", ""))


def test_a_stranger_chooses_neither_path_nor_host_nor_scheme(port: int) -> None:
    claims = ("SCRIPT_NAME: /evil", "PATH_INFO: /healthz", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: https")

    redirected = answer(port, head("/docs", f"Host: 127.0.0.1:{port}", *claims))
    listed = answer(port, head("/v1/jobs", f"Host: 127.0.0.1:{port}", *claims))

    assert "evil" not in redirected
    assert "\r\nLocation: /docs/\r\n" in redirected
    assert '"jobs"' in listed


@pytest.mark.parametrize(
    "lines",
    [
        ("GET /v1/jobs HTTP/1.1", "Host: evil.example"),
        ("GET http://127.0.0.1/v1/jobs HTTP/1.1", "Host: evil.example"),
        ("GET http://evil.example/v1/jobs HTTP/1.1", "Host: evil.example"),
        ("GET /v1/jobs HTTP/1.1", "Host: evil.example", "X-Forwarded-Host: 127.0.0.1"),
        ("GET /v1/jobs HTTP/1.1", "Host: 127.0.0.1", "Host: evil.example"),
        ("GET /v1/jobs HTTP/1.1", "Host: evil.example", "Host: 127.0.0.1"),
    ],
)
def test_a_name_that_was_made_to_lead_here_reads_nothing_however_it_is_written(
    port: int, lines: tuple[str, ...]
) -> None:
    assert '"jobs"' not in answer(port, "\n".join((*lines, "Connection: close", "", "")))
