"""The client of ``scripts/smoke`` when the API refuses, or is away."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from stack.client import Client, fetch
from stack.errors import RequestRefused, ServerSilent
from storage import S3Config

UNREACHABLE = "http://127.0.0.1:1"


def test_a_refusal_has_its_status_and_its_reason(s3: S3Config) -> None:
    with pytest.raises(RequestRefused, match=r"(?s)/secret answers 403: .*AccessDenied"):
        fetch(f"{s3.endpoint}/never-made/secret")


def test_an_api_key_is_sent() -> None:
    client = Client(UNREACHABLE, SecretStr("key"))

    assert client._headers["Authorization"] == "Bearer key"


@pytest.mark.parametrize("call", [lambda: fetch(UNREACHABLE), lambda: Client(UNREACHABLE, None).adapters()])
def test_silence_names_the_address(call: object) -> None:
    with pytest.raises(ServerSilent, match=rf"{UNREACHABLE}.* does not answer"):
        call()  # type: ignore[operator]
