"""``stokehold keys``: make, list and revoke API keys, on the server that the settings name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import click

from tasks.errors import StokeholdError
from tasks.keys import MAX_WEIGHT, ApiKeys, KeyLimits, default_limits
from tasks.settings import settings
from tasks.valkey import Valkey, connect
from tasks.webhooks.secrets import BOTH_FOR_S, MAX_BOTH_FOR_S, WebhookSecrets


@click.group()
def keys() -> None:
    """API keys, and their limits."""


main = partial(keys.main, prog_name="stokehold keys")


@contextmanager
def connected() -> Iterator[Valkey]:
    """Return the connection to Valkey or Redis.

    Raises:
        SystemExit: a setting is wrong, or the server does not answer; the message says what to do.
    """
    try:
        with connect(settings().valkey_url) as valkey:
            yield valkey
    except StokeholdError as error:
        sys.exit(f"stokehold: {error}")


@contextmanager
def stored_keys() -> Iterator[ApiKeys]:
    """Return the keys.

    Raises:
        SystemExit: a setting is wrong, or the server does not answer; the message says what to do.
    """
    with connected() as valkey:
        yield ApiKeys(valkey)


@keys.command()
@click.argument("name")
@click.option("--requests-per-minute", type=click.IntRange(min=1))
@click.option("--queued-jobs", type=click.IntRange(min=1))
@click.option("--pixel-steps-per-day", type=click.IntRange(min=1))
@click.option("--held-responses", type=click.IntRange(min=1))
@click.option("--open-uploads", type=click.IntRange(min=1))
@click.option("--stored-bytes", type=click.IntRange(min=1))
@click.option("--waiting-batches", type=click.IntRange(min=1))
@click.option(
    "--weight", type=click.IntRange(1, MAX_WEIGHT), default=1, help="Its share of the workers, relative to other keys."
)
@click.option("--allow-private", is_flag=True, help="Allow private and gated adapters that HF_TOKEN can read.")
def create(name: str, *, allow_private: bool, weight: int, **chosen: int | None) -> None:
    """Make a key and show its secret, which is not shown again."""
    own = {limit: value for limit, value in chosen.items() if value is not None}
    limits = KeyLimits.model_validate(default_limits(settings()).model_dump() | own)
    with stored_keys() as stored:
        key, secret = stored.create(name, limits, allow_private=allow_private, weight=weight)
    click.echo(f"Key {key.id} for {name}. It is shown only now; send it as Authorization: Bearer", err=True)
    click.echo(secret)


@keys.command("list")
def list_keys() -> None:
    """List the keys, without their secrets."""
    with stored_keys() as stored:
        for key in stored.list():
            shares = {**key.limits.model_dump(), "weight": key.weight}
            limits = ", ".join(f"{name} {value}" for name, value in shares.items())
            state = f"revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else "good"
            private = ", private adapters" if key.allow_private else ""
            click.echo(f"{key.id}  {key.created_at:%Y-%m-%d}  {state}  {key.name}  ({limits}{private})")


@keys.command()
@click.argument("key_id")
def revoke(key_id: str) -> None:
    """Revoke a key, at once and for good."""
    with stored_keys() as stored:
        key = stored.revoke(key_id)
    click.echo(f"Key {key.id} of {key.name} is revoked.")


@keys.command("webhook-secret")
@click.argument("key_id")
@click.option(
    "--both-for-s",
    type=click.IntRange(0, MAX_BOTH_FOR_S),
    default=BOTH_FOR_S,
    show_default=True,
    help="Seconds for which the previous secret signs too.",
)
def webhook_secret(key_id: str, both_for_s: int) -> None:
    """Make the next webhook secret of a key and show it, which is not shown again."""
    with connected() as valkey:
        key = ApiKeys(valkey).get(key_id)
        secret, until = WebhookSecrets(valkey, of_service=None).rotate(key.id, both_for_s=both_for_s)
    click.echo(f"Webhook secret of key {key.id} of {key.name}. It is shown only now.", err=True)
    click.echo(f"The one before it, if there was any, signs too until {until:%Y-%m-%d %H:%M} UTC.", err=True)
    click.echo(secret)
