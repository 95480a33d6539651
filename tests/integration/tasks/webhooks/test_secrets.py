"""Each API key signs with a secret of its own, and while it is changed with two."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from pydantic import SecretStr
from standardwebhooks import Webhook, WebhookVerificationError

from tasks.errors import ConfigurationError, IdempotencyConflict
from tasks.keys import ApiKeys, KeyLimits
from tasks.valkey import Valkey
from tasks.webhooks.secrets import WebhookSecrets, new_secret

BODY = '{"type": "job.succeeded"}'
OF_SERVICE = new_secret()


@pytest.fixture
def secrets(valkey: Valkey) -> WebhookSecrets:
    return WebhookSecrets(valkey, SecretStr(OF_SERVICE))


def rotate(secrets: WebhookSecrets, owner: str, both_for_s: int = 60) -> str:
    return secrets.rotate(owner, both_for_s=both_for_s)[0]


def signed(secrets: WebhookSecrets, owner: str | None) -> dict[str, str]:
    """The headers of a delivery."""
    now = datetime.now(UTC)
    signatures = [signer.sign("msg_1", now, BODY) for signer in secrets.signers(owner, now)]
    timestamp = str(int(now.timestamp()))
    return {"webhook-id": "msg_1", "webhook-timestamp": timestamp, "webhook-signature": " ".join(signatures)}


def verifies(secret: str, headers: dict[str, str]) -> bool:
    """Return whether a receiver that knows this secret believes the delivery."""
    try:
        Webhook(secret).verify(BODY, headers)
    except WebhookVerificationError:
        return False
    return True


def test_no_key_can_forge_what_is_anothers(secrets: WebhookSecrets) -> None:
    of_ada, of_bob = rotate(secrets, "ada"), rotate(secrets, "bob")

    assert verifies(of_ada, signed(secrets, "ada"))
    assert not verifies(of_bob, signed(secrets, "ada"))
    assert not verifies(OF_SERVICE, signed(secrets, "ada"))
    assert verifies(OF_SERVICE, signed(secrets, None))


def test_while_a_secret_is_changed_the_one_before_verifies_too_and_no_third(secrets: WebhookSecrets) -> None:
    oldest, before, latest = (rotate(secrets, "ada") for _ in range(3))

    headers = signed(secrets, "ada")

    assert [verifies(secret, headers) for secret in (oldest, before, latest)] == [False, True, True]


def test_a_secret_that_has_leaked_can_be_ended_at_once(secrets: WebhookSecrets) -> None:
    leaked, latest = rotate(secrets, "ada"), rotate(secrets, "ada", 0)

    headers = signed(secrets, "ada")

    assert (verifies(leaked, headers), verifies(latest, headers)) == (False, True)


def test_the_one_before_signs_until_the_time_that_was_said_by_the_clock_of_the_store(secrets: WebhookSecrets) -> None:
    rotate(secrets, "ada")
    _, until = secrets.rotate("ada")

    numbers = [len(secrets.signers("ada", until + timedelta(seconds=after))) for after in (-2, 2)]

    assert numbers == [2, 1]


def test_a_key_that_never_asked_for_one_signs_with_one_that_nobody_knows_and_then_with_both(
    secrets: WebhookSecrets, valkey: Valkey
) -> None:
    first = signed(secrets, "ada")
    known = rotate(secrets, "ada")

    assert len(first["webhook-signature"].split()) == 1
    assert len(signed(secrets, "ada")["webhook-signature"].split()) == 2
    assert verifies(known, signed(secrets, "ada"))


def test_a_rotation_that_the_client_of_valkey_repeats_changes_nothing(secrets: WebhookSecrets) -> None:
    before, latest = rotate(secrets, "ada"), rotate(secrets, "ada")

    secrets._rotate(keys=["stokehold:webhooks:secret:ada"], args=[latest, 60, ""])

    assert verifies(before, signed(secrets, "ada"))


def test_a_rotation_that_is_sent_again_under_its_key_gives_the_same_and_keeps_the_secret_before(
    secrets: WebhookSecrets,
) -> None:
    known = rotate(secrets, "ada")

    answers = {secrets.rotate("ada", both_for_s=60, idempotency_key="move-1") for _ in range(3)}

    ((latest, _),) = answers
    assert [verifies(secret, signed(secrets, "ada")) for secret in (known, latest)] == [True, True]


def test_the_key_of_a_rotation_is_good_for_no_other(secrets: WebhookSecrets) -> None:
    first, _ = secrets.rotate("ada", both_for_s=60, idempotency_key="move-1")

    with pytest.raises(IdempotencyConflict):
        secrets.rotate("ada", both_for_s=0, idempotency_key="move-1")
    second, _ = secrets.rotate("ada", both_for_s=60, idempotency_key="move-2")

    assert first != second


@pytest.mark.parametrize("secret", [None, SecretStr("whsec_"), SecretStr("whsec_not base64")])
def test_without_keys_the_operator_is_told_what_is_wrong_with_the_secret(
    valkey: Valkey, secret: SecretStr | None
) -> None:
    with pytest.raises(ConfigurationError, match="STOKEHOLD_WEBHOOK_SECRET"):
        WebhookSecrets(valkey, secret).signers(None, datetime.now(UTC))


def test_no_list_of_keys_has_a_webhook_secret(secrets: WebhookSecrets, valkey: Valkey) -> None:
    keys = ApiKeys(valkey)
    key, _ = keys.create("ada", KeyLimits(requests_per_minute=1, queued_jobs=1, pixel_steps_per_day=1))

    secret = rotate(secrets, key.id)

    assert secret not in str([key.model_dump() for key in keys.list()])
    assert secret not in repr(secrets)
