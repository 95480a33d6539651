"""The secrets that sign webhooks: one for each API key, so that no owner can forge the messages of another.

    stokehold:webhooks:secret:<owner>   hash   current; previous, and until when that one still signs; the request that
                                               made the current one

They are stored in plain text, because the sender signs with them, apart from the keys, and shown once. A service
without API keys has one secret, ``STOKEHOLD_WEBHOOK_SECRET``, which signs for no key.
"""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime
from typing import cast

from pydantic import SecretStr
from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError

from tasks.errors import ConfigurationError, IdempotencyConflict
from tasks.valkey import Valkey

PREFIX = "whsec_"
BYTES = 32
BOTH_FOR_S = 86_400
"""Seconds for which a secret signs beside the one that has replaced it, unless another time is asked for."""
MAX_BOTH_FOR_S = 7 * 86_400


class WebhookSecrets:
    """The secrets, in Valkey or Redis.

    Args:
        of_service: signs the messages of a service without API keys.
    """

    def __init__(self, valkey: Valkey, of_service: SecretStr | None) -> None:
        self._valkey = valkey
        self._of_service = of_service
        self._rotate = valkey.script("webhooks/rotate")

    def rotate(
        self, owner: str, *, both_for_s: int = BOTH_FOR_S, idempotency_key: str | None = None
    ) -> tuple[str, datetime]:
        """Make the next secret of an API key; return it, and the time until which the one before signs beside it.

        Args:
            both_for_s: seconds for which the one before still signs.
            idempotency_key: gives the secret that it made, as long as that is the latest: were the request repeated
                after a lost response, the secret that receivers know would be the last but one, and sign no more.

        Raises:
            IdempotencyConflict: the key was used with another ``both_for_s``.
        """
        answer = self._rotate(keys=[secret_key(owner)], args=[new_secret(), both_for_s, idempotency_key or ""])
        if answer is None:
            raise IdempotencyConflict("This Idempotency-Key was used with another both_for_s. Choose another key.")
        secret, until = answer
        return secret, datetime.fromtimestamp(float(until), UTC)

    def signers(self, owner: str | None, now: datetime) -> tuple[Webhook, ...]:
        """Return the signers of an owner's webhooks, the latest first. A key without a secret gets a hidden one.

        Args:
            now: by the store's clock.

        Raises:
            ConfigurationError: it is the service's own, and there is none, or not one of the specification's.
        """
        if owner is None:
            return (service_signer(self._of_service),)
        self._valkey.hsetnx(secret_key(owner), "current", new_secret())
        fields = cast(dict[str, str], self._valkey.hgetall(secret_key(owner)))
        valid = [fields["current"]]
        if "previous" in fields and now.timestamp() < float(fields["previous_until"]):
            valid.append(fields["previous"])
        return tuple(map(Webhook, valid))


def service_signer(secret: SecretStr | None) -> Webhook:
    """Return the signer with the secret of the settings.

    Raises:
        ConfigurationError: there is none, or not one of the specification's.
    """
    expected = "STOKEHOLD_WEBHOOK_SECRET must be whsec_ and then 24 to 64 random bytes in base64."
    if secret is None:
        raise ConfigurationError(expected)
    try:
        return Webhook(secret.get_secret_value())
    except (ValueError, EmptyWebhookSecretError) as error:
        raise ConfigurationError(expected) from error


def new_secret() -> str:
    """A secret as the Standard Webhooks specification writes it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(BYTES)).decode()


def secret_key(owner: str) -> str:
    """The secrets of an API key."""
    return f"stokehold:webhooks:secret:{owner}"
