"""The stack of a soak: two workers that obey orders, and a proxy in front of each server."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from stack.broken_adapters import write_broken
from stack.folder import StackFolder
from stack.local_stack import LocalStack
from stack.part import Part
from stack.parts import Parts
from stack.ports import Ports
from stack.services import api_url
from stack.soak.orders import Orders
from stack.soak.proxy import Proxy, proxying
from tasks.celery import Application
from tasks.objects.storage_config import make_storage
from tasks.service import Service
from tasks.settings import PREFIX, Settings, settings

WORKERS = 2
FAR = 20
"""Smallest distance of two blocks of ports."""


@dataclass(frozen=True)
class SoakStack:
    """The running stack, its ports and its parts.

    Attributes:
        api: proxy in front of the API; where clients reach it.
        valkey: proxy in front of Valkey.
        storage: proxy in front of storage.
        receiver: port for the receiver of webhooks.
        parts: the running parts.
        servers: names of those that are neither a worker nor a proxy.
        orders: by the name of a worker, the file that it obeys.
        service: as this process sees it, without a proxy.
    """

    api: Proxy
    valkey: Proxy
    storage: Proxy
    receiver: int
    parts: Parts
    servers: tuple[str, ...]
    orders: Mapping[str, Orders]
    service: Service
    folder: StackFolder

    @property
    def url(self) -> str:
        """Return where clients reach the API."""
        return api_url(self.api.port)

    @property
    def worker_logs(self) -> list[Path]:
        """The logs of the workers."""
        return [self.folder.log(name) for name in self.orders]


@contextmanager
def soak_stack(root: Path) -> Iterator[SoakStack]:
    """Run everything in a folder while the block runs.

    Raises:
        StackError, StokeholdError, StorageError: a part does not start.
    """
    with ExitStack() as cleanup:
        folder, ports = StackFolder(root), Ports.free()
        beside = next(block for block in iter(Ports.free, None) if abs(block.api - ports.api) > FAR)
        api = Proxy(beside.api, ports.api)
        valkey, storage = Proxy(beside.valkey, ports.valkey), Proxy(beside.s3, ports.s3)
        cleanup.enter_context(proxying(api, valkey, storage))
        stack = LocalStack(folder, ports, settings())
        values = values_of(stack, root)
        configuration = Settings.model_validate(dict(values))
        environment = through(environment_of(values, root / "tmp"), valkey, storage)
        parts = Parts(folder)
        cleanup.callback(parts.stop, urgent=True)  # everything has been checked by then
        parts.start(stack.servers())
        make_storage(configuration).ensure_buckets()
        *others, worker = (with_environment(part, environment) for part in stack.services(configuration))
        orders = {f"{worker.name}-{number}": Orders(root / f"orders-{number}") for number in range(WORKERS)}
        workers = [obedient(worker, name, file) for name, file in orders.items()]
        parts.start([*others, *workers])
        servers = tuple(part.name for part in (*stack.servers(), *others))
        service = Application(configuration).service
        yield SoakStack(api, valkey, storage, beside.s3_grpc, parts, servers, orders, service, folder)


def values_of(stack: LocalStack, root: Path) -> Mapping[str, str]:
    """The settings of the parts: those of the stack, and what lets a soak see more in less time."""
    folders = ":".join(str(path) for path in (*stack.given.adapter_folders, write_broken(root / "broken")))
    return {
        **stack.overrides,
        "adapter_folders": folders,
        "check_every_swaps": "10",
        "stall_s": "20",
        "api_keys_required": "true",  # a service that was closed stays closed when Valkey comes back empty
        "webhook_allow_http": "true",
        "webhook_allow_loopback": "true",
    }


def environment_of(values: Mapping[str, str], folder: Path) -> Mapping[str, str]:
    """Settings as the parts read them, which leave their temporary files in a folder of ours."""
    folder.mkdir()
    named = {f"{PREFIX}{name.upper()}": value for name, value in values.items()}
    return {**named, "OMP_NUM_THREADS": "1", "TMPDIR": str(folder)}


def through(environment: Mapping[str, str], *proxies: Proxy) -> Mapping[str, str]:
    """The environment with the ports of proxies in the place of those of the servers behind them."""
    changed = dict(environment)
    for proxy in proxies:
        changed = {name: value.replace(f":{proxy.target}", f":{proxy.port}") for name, value in changed.items()}
    return changed


def with_environment(part: Part, environment: Mapping[str, str]) -> Part:
    """A part with this environment over its own."""
    return replace(part, environment={**part.environment, **environment})


def obedient(worker: Part, name: str, orders: Orders) -> Part:
    """A worker that obeys a file."""
    *_, slug = worker.command
    command = (sys.executable, "-m", "stack.soak.faulty_worker", str(orders.file), "--base", slug)
    return replace(worker, name=name, command=command)
