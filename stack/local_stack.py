"""The whole service on this machine: its own servers where the settings name none, and our parts on top of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from stack.folder import StackFolder
from stack.part import Part
from stack.ports import Ports, require_free
from stack.seaweedfs import s3_url, seaweedfs_part
from stack.services import api_part, api_url, base_worker_part, loops_part
from stack.stop_request import StopRequest
from stack.supervisor import Say, Supervisor, say_now, supervised
from stack.valkey import valkey_part, valkey_url
from tasks.base_models.registry import read_base_models
from tasks.loops.rounds import LOOPS
from tasks.objects.storage_config import make_storage
from tasks.settings import PREFIX, Settings

ACCESS_KEY = "stokehold"
"""Of the embedded storage. Its secret key, as Valkey's password, is random: other users of this machine reach them."""


@dataclass(frozen=True)
class LocalStack:
    """A stack on this machine, its ports and its settings.

    Attributes:
        folder: where data and logs are.
        ports: where the parts listen.
        given: the user's settings; a server that they name is used and not started.
    """

    folder: StackFolder
    ports: Ports
    given: Settings

    @property
    def api(self) -> str:
        """Return where clients reach the API."""
        return api_url(self.ports.api)

    @property
    def own_valkey(self) -> bool:
        """Return whether the embedded Valkey is used."""
        return "valkey_url" not in self.given.model_fields_set

    @property
    def own_storage(self) -> bool:
        """Return whether the embedded SeaweedFS is used."""
        return "s3_endpoint" not in self.given.model_fields_set

    @property
    def wanted_ports(self) -> Mapping[str, int]:
        """Return the ports that must be free, by the name of their part."""
        valkey = {"valkey": self.ports.valkey} if self.own_valkey else {}
        storage = {f"s3 ({name})": port for name, port in self.ports.of_seaweedfs.items()} if self.own_storage else {}
        return {"api": self.ports.api, **valkey, **storage}

    @property
    def overrides(self) -> Mapping[str, str]:
        """The settings that follow from the embedded servers, by field."""
        values: dict[str, str] = {}
        if self.own_valkey:
            values |= {"valkey_url": valkey_url(self.ports.valkey, self._password("valkey"))}
        if self.own_storage:
            keys = {"s3_access_key": ACCESS_KEY, "s3_secret_key": self._password("s3")}
            values |= {"s3_endpoint": s3_url(self.ports), **keys}
        return values

    @property
    def environment(self) -> Mapping[str, str]:
        """Return the overrides as environment variables."""
        return {f"{PREFIX}{name.upper()}": value for name, value in self.overrides.items()}

    def servers(self) -> Iterator[Part]:
        """The embedded servers that are needed."""
        if self.own_valkey:
            yield valkey_part(self.folder.data("valkey"), self.ports.valkey, self._password("valkey"))
        if self.own_storage:
            yield seaweedfs_part(self.folder.data("s3"), self.ports, ACCESS_KEY, self._password("s3"))

    def services(self, settings: Settings) -> Iterator[Part]:
        """Return our own parts. The first base model of ``models.toml`` gets a worker."""
        environment = self.environment
        slug = read_base_models(settings.models_file).default.slug
        yield api_part(self.ports.api, environment)
        for process in LOOPS:
            yield loops_part(process, settings.valkey_url, environment)
        yield base_worker_part(slug, settings.valkey_url, environment)

    def _password(self, server: str) -> str:
        return self.folder.secret(server)


@contextmanager
def running(stack: LocalStack, stop: StopRequest, say: Say = say_now) -> Iterator[Supervisor]:
    """Start the stack; when the block is left, it is stopped in reverse order.

    Raises:
        StackError: a port is taken, or a part does not start.
        StokeholdError: ``models.toml`` is wrong.
        StorageError: the bucket cannot be used.
    """
    settings = Settings.model_validate(stack.overrides)
    with supervised(stack.folder, stop, say) as supervisor:
        require_free(
            stack.wanted_ports,
            f"Stop what listens there, or choose another block of ports: scripts/up --port {stack.ports.api + 1000}",
        )
        stack.folder.write_environment(stack.environment)
        supervisor.start(stack.servers())
        make_storage(settings).ensure_buckets()
        supervisor.start(stack.services(settings))
        yield supervisor
