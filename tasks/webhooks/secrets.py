"""The secrets that sign webhooks: one for each API key, so that none who verifies can forge another's.

    stokehold:webhooks:secret:<owner>   hash   current; previous, and until when that one still signs

They are kept as they are, because the sender signs with them, apart from the keys, and shown once. A service without
API keys has one secret, ``STOKEHOLD_WEBHOOK_SECRET``, which signs for no key.
"""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime
from typing import cast

from pydantic import SecretStr
from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError

from tasks.broker import Broker
from tasks.errors import ConfigurationError

PREFIX = "whsec_"
BYTES = 32
BOTH_FOR_S = 86_400
"""Seconds for which a secret signs beside the one that has replaced it, unless another time is asked for."""
MOST_BOTH_FOR_S = 7 * 86_400


class WebhookSecrets:
    """The secrets, in Valkey or Redis.

    Args:
        of_service: signs what belongs to no API key.
    """

    def __init__(self, broker: Broker, of_service: SecretStr | None) -> None:
        self._broker = broker
        self._of_service = of_service
        self._rotate = broker.script("webhook_rotate")

    def rotate(self, owner: str, *, both_for_s: int = BOTH_FOR_S) -> tuple[str, datetime]:
        """Make the next secret of an API key; that secret, and until when the one before signs beside it.

        Args:
            both_for_s: seconds for which the one before still signs.
        """
        secret = new_secret()
        until = self._rotate(keys=[secret_key(owner)], args=[secret, both_for_s])
        return secret, datetime.fromtimestamp(until, UTC)

    def signers(self, owner: str | None, now: datetime) -> tuple[Webhook, ...]:
        """What signs the webhooks of an owner, the latest first. A key without a secret gets one that no one has seen.

        Args:
            now: by the store's clock.

        Raises:
            ConfigurationError: it is the service's own, and there is none, or not one of the specification's.
        """
        if owner is None:
            return (service_signer(self._of_service),)
        self._broker.hsetnx(secret_key(owner), "current", new_secret())
        fields = cast(dict[str, str], self._broker.hgetall(secret_key(owner)))
        valid = [fields["current"]]
        if "previous" in fields and now.timestamp() < float(fields["previous_until"]):
            valid.append(fields["previous"])
        return tuple(map(Webhook, valid))


def service_signer(secret: SecretStr | None) -> Webhook:
    """Signs with the secret of the settings.

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
