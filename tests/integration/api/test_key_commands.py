"""``stokehold keys``, and the start that is refused without a key, as an operator meets them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner, Result
from standardwebhooks import Webhook

from api import key_commands
from api.gunicorn_config import is_loopback
from tasks.keys import ApiKeys
from tasks.settings import settings
from tasks.valkey import Valkey
from tasks.webhooks.secrets import WebhookSecrets
from tests.support.up import ROOT
from tests.support.waiting import patience


def run(valkey_url: str, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a module's command on the test's Valkey."""
    environment = {**os.environ, "STOKEHOLD_VALKEY_URL": valkey_url, **variables}
    command = (sys.executable, "-m", *command)
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=patience(60), check=False
    )


@pytest.fixture
def settings_of_test(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings read anew from an environment that names the test's Valkey."""
    monkeypatch.setenv("STOKEHOLD_VALKEY_URL", valkey_url)
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture
def command(settings_of_test: None) -> Callable[..., Result]:
    """``stokehold keys`` in this process."""
    return lambda *arguments: CliRunner().invoke(key_commands.keys, arguments)


@pytest.fixture
def keys(command: Callable[..., Result]) -> Callable[..., str]:
    """What ``stokehold keys`` answers."""

    def keys(*arguments: str) -> str:
        answer = command(*arguments)
        assert answer.exit_code == 0, answer.stderr
        return answer.stdout

    return keys


def test_a_key_is_made_listed_and_revoked(valkey: Valkey, valkey_url: str, keys: Callable[..., str]) -> None:
    in_a_process = run(valkey_url, "stokehold", "keys", "create", "ada", "--queued-jobs", "7", "--allow-private")
    assert in_a_process.returncode == 0, in_a_process.stderr
    secret = in_a_process.stdout.strip()
    made = ApiKeys(valkey).find(secret)
    assert made is not None
    listed = keys("list")
    keys("revoke", made.id)

    assert (made.name, made.limits.queued_jobs, made.limits.requests_per_minute) == ("ada", 7, 600)
    assert made.allow_private
    assert made.id in listed
    assert "private adapters" in listed
    assert secret not in listed
    assert ApiKeys(valkey).find(secret) is None


def test_without_a_key_the_api_listens_for_no_other_machine(valkey: Valkey, valkey_url: str) -> None:
    gunicorn = ("gunicorn", "--config", "python:api.gunicorn_config")

    refused = run(valkey_url, *gunicorn, STOKEHOLD_API_LISTEN="0.0.0.0:0")

    assert refused.returncode != 0
    assert "There is no API key, so every client that reaches ('0.0.0.0', 0) could use this service." in refused.stderr
    assert "scripts/stokehold keys create NAME" in refused.stderr


@pytest.mark.parametrize(
    ("address", "local"),
    [
        (("127.0.0.1", 8000), True),
        (("localhost", 8000), True),
        (("::1", 8000), True),
        ("/run/stokehold.sock", True),
        (("0.0.0.0", 8000), False),
        (("::", 8000), False),
        (("10.0.0.5", 8000), False),
        (("stokehold.example", 8000), False),
    ],
)
def test_only_loopback_and_sockets_are_local(address: str | tuple[str, int], local: bool) -> None:
    assert is_loopback(address) is local


def test_a_webhook_secret_is_made_and_shown_once(
    valkey: Valkey, command: Callable[..., Result], keys: Callable[..., str]
) -> None:
    made = ApiKeys(valkey).find(keys("create", "ada").strip())
    assert made is not None

    secrets = [keys("webhook-secret", made.id).strip() for _ in range(2)]
    unknown = command("webhook-secret", "nobody")

    now = datetime.now(UTC)
    signers = WebhookSecrets(valkey, None).signers(made.id, now)
    assert [signer.sign("a", now, "b") for signer in signers] == [
        Webhook(secret).sign("a", now, "b") for secret in reversed(secrets)
    ]
    assert unknown.exit_code != 0
    assert not any(secret in keys("list") for secret in secrets)
