"""A broker that is away is one error, however it is asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tasks.errors import BrokerUnavailable
from tasks.valkey import Broker, broker_errors, connect
from tests.support.services import NOBODY


def several(broker: Broker) -> None:
    with broker.pipeline() as pipeline:
        pipeline.set("key", "value")
        pipeline.execute()


def several_unrelated(broker: Broker) -> None:
    with broker.pipeline(transaction=False) as pipeline:
        pipeline.get("key")
        pipeline.execute()


@pytest.mark.parametrize(
    "ask",
    [
        lambda broker: broker.get("key"),
        lambda broker: broker.register_script("return 1")(),
        several,
        several_unrelated,
    ],
)
def test_a_broker_that_is_away_is_one_error(ask: Callable[[Broker], object]) -> None:
    with connect(f"redis://{NOBODY}/0") as broker, pytest.raises(BrokerUnavailable, match="STOKEHOLD_BROKER_URL"):
        ask(broker)


def test_another_error_stays_what_it_is() -> None:
    with pytest.raises(KeyError), broker_errors():
        raise KeyError
