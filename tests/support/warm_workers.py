"""Workers of the pipeline of ``drawable``, which share what is the same for all of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch

from tasks.service import Service
from tests.support.pipelines import drawable
from workers.adapters.shell import LoaderShell
from workers.worker import Worker, warm_up


@cache
def shell() -> LoaderShell:
    """The shell of that pipeline: it has shapes alone, and takes ten times as long to make as the pipeline itself."""
    return LoaderShell(drawable())


def warm_worker(service: Service, load: Callable[[], Any] = drawable) -> Worker:
    """A worker of the service's default base model, warm.

    Args:
        load: makes a pipeline of the shapes of ``drawable``; each worker has one of its own.
    """
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("workers.worker.LoaderShell", lambda _: shell())
        return warm_up(service, service.base_models.default, load, torch.device("cpu"), worker="demo-1@here")
