"""A worker whose pipeline hangs or breaks when a file says so: ``python -m stack.soak.faulty_worker FILE --base SLUG``.

The only module outside ``workers`` that imports them. The soak starts it in the place of ``python -m workers``, so that
the product needs no switch for this.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

import workers.__main__ as worker
from stack.soak.orders import Order, Orders
from tasks.base_models.registry import ServedModel
from workers.base.pipeline import load_pipeline

LOADER = "load_pipeline"
"""The name by which the worker loads its pipeline."""
LOST_DEVICE = "CUDA error: device-side assert triggered"


def main(arguments: Sequence[str]) -> None:
    """Start the worker with a pipeline that obeys the file.

    Raises:
        SystemExit: as by ``workers``.
    """
    file, *others = arguments
    setattr(worker, LOADER, functools.partial(load, Orders(Path(file))))
    worker.main(others)


def load(orders: Orders, model: ServedModel, device: torch.device) -> Any:
    """The pipeline of a base model, which obeys orders at each drawing."""
    pipeline: Any = load_pipeline(model, device)
    kind = type(pipeline)
    pipeline.__class__ = type(kind.__name__, (kind,), {"__call__": obeying(orders, kind.__call__)})
    return pipeline


def obeying(orders: Orders, draw: Callable[..., Any]) -> Callable[..., Any]:
    """Draw, unless there is another order.

    Raises:
        RuntimeError: as torch does when the device is lost.
    """

    @functools.wraps(draw)
    def drawing(*arguments: Any, **options: Any) -> Any:
        match orders.given():
            case Order.HANG:
                orders.note_hanging()
                while True:  # like a kernel that never returns
                    time.sleep(1)
            case Order.BREAK:
                raise RuntimeError(LOST_DEVICE)
            case Order.WORK:
                return draw(*arguments, **options)

    return drawing


if __name__ == "__main__":
    main(sys.argv[1:])
