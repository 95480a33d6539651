"""A Valkey that is away is one error, however it is asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tasks.errors import ValkeyUnavailable
from tasks.valkey import Valkey, connect, valkey_errors
from tests.support.services import UNREACHABLE


def several(valkey: Valkey) -> None:
    with valkey.pipeline() as pipeline:
        pipeline.set("key", "value")
        pipeline.execute()


def several_unrelated(valkey: Valkey) -> None:
    with valkey.pipeline(transaction=False) as pipeline:
        pipeline.get("key")
        pipeline.execute()


@pytest.mark.parametrize(
    "ask",
    [
        lambda valkey: valkey.get("key"),
        lambda valkey: valkey.register_script("return 1")(),
        several,
        several_unrelated,
    ],
)
def test_a_valkey_that_is_away_is_one_error(ask: Callable[[Valkey], object]) -> None:
    with connect(f"redis://{UNREACHABLE}/0") as valkey, pytest.raises(ValkeyUnavailable, match="STOKEHOLD_VALKEY_URL"):
        ask(valkey)


def test_another_error_stays_what_it_is() -> None:
    with pytest.raises(KeyError), valkey_errors():
        raise KeyError
