"""The client of our own commands when the API refuses, or does not answer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import SecretStr

from storage import S3Config
from tasks.api_client import ApiClient
from tasks.errors import RequestRefused, ServerSilent

UNREACHABLE = "http://127.0.0.1:1"


def test_a_refusal_has_its_status_and_its_reason(s3: S3Config) -> None:
    with (
        ApiClient(UNREACHABLE, None) as client,
        pytest.raises(RequestRefused, match=r"(?s)/secret answers 403: .*AccessDenied"),
    ):
        client.get(f"{s3.endpoint}/never-made/secret").require_success()


def test_an_api_key_is_sent_to_the_api_alone() -> None:
    with ApiClient(UNREACHABLE, SecretStr("key")) as client:
        requests = [client._request("GET", url, b"", {}) for url in ("/v1/jobs", "https://storage.test/image.png")]

    assert [request.headers.get("Authorization") for request in requests] == ["Bearer key", None]


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.get(f"{UNREACHABLE}/image.png"),
        lambda client: client.get("/v1/adapters"),
        lambda client: list(client.lines("/v1/batches/b/results")),
    ],
)
def test_silence_names_the_address(call: Callable[[ApiClient], object]) -> None:
    with (
        ApiClient(UNREACHABLE, None) as client,
        pytest.raises(ServerSilent, match=rf"{UNREACHABLE}.* does not answer"),
    ):
        call(client)
