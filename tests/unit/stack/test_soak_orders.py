"""A worker of a soak does as the file says."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

import pytest

from stack.soak.faulty_worker import obeying
from stack.soak.orders import Order, Orders
from tests.support.waiting import wait_until

pytestmark = pytest.mark.torch


def test_without_an_order_it_draws(tmp_path: Path) -> None:
    draw = obeying(Orders(tmp_path / "orders"), lambda prompt: f"drawn: {prompt}")

    assert draw("a circle") == "drawn: a circle"


def test_a_broken_device_raises_as_torch_does_until_it_works_again(tmp_path: Path) -> None:
    orders = Orders(tmp_path / "orders")
    draw = obeying(orders, lambda: "drawn")
    orders.give(Order.BREAK)

    with pytest.raises(RuntimeError, match="CUDA error"):
        draw()

    orders.give(Order.WORK)
    assert draw() == "drawn"


def test_a_drawing_that_hangs_says_so_and_never_returns(tmp_path: Path) -> None:
    orders = Orders(tmp_path / "orders")
    orders.give(Order.HANG)
    drawn: list[str] = []
    draw = obeying(orders, lambda: drawn.append("drawn"))
    Thread(target=draw, daemon=True).start()

    wait_until(lambda: orders.is_hanging)

    assert drawn == []
    orders.give(Order.WORK)
    assert not orders.is_hanging
