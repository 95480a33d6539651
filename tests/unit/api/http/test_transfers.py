"""The limit of concurrent file transfers."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from api.http.transfers import Transfers
from tasks.errors import LimitExceeded, TooManyTransfers


def test_one_key_does_not_take_all_and_all_do_not_take_more() -> None:
    transfers = Transfers(3, 2)

    with ExitStack() as running:
        running.enter_context(transfers.one("a"))
        running.enter_context(transfers.one("a"))
        with pytest.raises(LimitExceeded):
            running.enter_context(transfers.one("a"))
        running.enter_context(transfers.one("b"))
        with pytest.raises(TooManyTransfers):
            running.enter_context(transfers.one("c"))

    with transfers.one("a"), transfers.one("b"), transfers.one("c"):
        pass


def test_a_service_without_keys_has_one_owner_who_may_take_all() -> None:
    transfers = Transfers(2, 1)

    with transfers.one(None), transfers.one(None), pytest.raises(TooManyTransfers), transfers.one(None):
        pass


def test_a_transfer_that_fails_is_over() -> None:
    transfers = Transfers(1, 1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), transfers.one("a"):
            raise ZeroDivisionError
