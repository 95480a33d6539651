"""The whole service on free ports, with as many adapters as a benchmark wants, and batches sent to it."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from stack.folder import StackFolder
from stack.local_stack import LocalStack
from stack.parts import Parts
from stack.ports import Ports
from tasks.api_client import ApiClient
from tasks.backfill.__main__ import submit
from tasks.batches.record import BatchRecord
from tasks.celery import Application
from tasks.objects.storage_config import make_storage
from tasks.service import Service
from tasks.settings import PREFIX, Settings, settings

LORAS = Path("demo/loras")


@dataclass(frozen=True)
class BatchService:
    """The running service.

    Attributes:
        api: where its API listens.
        environment: what points another process to it.
    """

    api: str
    parts: Parts
    service: Service
    client: ApiClient
    environment: dict[str, str]


def copies(folder: Path, count: int) -> list[str]:
    """So many adapters: the demo's own under several names."""
    folder.mkdir()
    originals = sorted(LORAS.glob("*.safetensors"))
    names = [f"{originals[number % len(originals)].stem}-{number}" for number in range(count)]
    for number, name in enumerate(names):
        original = originals[number % len(originals)]
        shutil.copy(original, folder / f"{name}.safetensors")
        shutil.copy(original.with_suffix(".toml"), folder / f"{name}.toml")
    return names


@contextmanager
def running(folder: Path) -> Iterator[BatchService]:
    """The whole service on free ports, with the adapters of this folder."""
    with ExitStack() as cleanup:
        stack = LocalStack(StackFolder(folder / "var"), Ports.free(), settings())
        parts = Parts(stack.folder)
        cleanup.callback(parts.stop)
        values = {**stack.overrides, "adapter_folders": str(folder / "loras")}
        configuration = Settings.model_validate(values)
        environment = {f"{PREFIX}{name.upper()}": value for name, value in values.items()}
        parts.start(stack.servers())
        make_storage(configuration).ensure_buckets()
        services = [
            replace(part, environment={**part.environment, **environment}) for part in stack.services(configuration)
        ]
        parts.start(services)
        client = cleanup.enter_context(ApiClient(stack.api, configuration.api_key))
        yield BatchService(stack.api, parts, Application(configuration).service, client, environment)


def send(stage: BatchService, lines: Sequence[dict[str, object]], *, dry_run: bool) -> BatchRecord:
    """Send a file of lines."""
    body = b"".join(json.dumps(one).encode() + b"\n" for one in lines)
    key = f"{len(lines)}-{dry_run}"
    return submit(stage.client, io.BytesIO(body), key, on_error="reject", dry_run=dry_run)
