"""Configuration of gunicorn for the API: ``gunicorn --config python:api.gunicorn_config``."""

from __future__ import annotations

import ipaddress
import logging
import sys
from typing import Protocol

from flask import Flask

from api.http.context import service_of
from tasks.durability import Durability
from tasks.errors import StokeholdError, ValkeyUnavailable
from tasks.keys import ApiKeys
from tasks.settings import settings
from tasks.valkey import connect

logger = logging.getLogger(__name__)

wsgi_app = "api:create_app()"
bind = settings().api_listen
worker_class = "api.server.bounded_worker.BoundedWorker"
workers = 2
threads = 32
worker_connections = 800
keepalive = 75
sendfile = False  # a response goes through the worker's socket, which keeps the part that a client does not take
accesslog = "-"
logger_class = "api.server.access_log.AccessLog"
control_socket_disable = True
forwarded_allow_ips = ""  # a client's SCRIPT_NAME or X-Forwarded-Proto is not believed, from loopback either
forwarder_headers = ""

Address = str | tuple[str, int]


class Server(Protocol):
    """The part of gunicorn's arbiter that a hook uses.

    Attributes:
        keys_needed: true if the service required keys, or could be reached from other machines, when it started.
    """

    keys_needed: bool

    @property
    def address(self) -> list[Address]: ...


class ServingProcess(Protocol):
    """The part of a serving process that a hook uses."""

    keys_needed: bool
    wsgi: Flask


def on_starting(server: Server) -> None:
    """Refuse to serve other machines without an API key, or on a Valkey that would lose jobs.

    Raises:
        SystemExit: there is no API key, and an address can be reached from other machines; or Valkey is refused.
    """
    exposed = [address for address in server.address if not is_loopback(address)]
    try:
        with connect(settings().valkey_url) as valkey:
            keys = ApiKeys(valkey, required=settings().api_keys_required)
            server.keys_needed = keys.are_needed()
            Durability(valkey, settings().accepted_when).check_server()
    except ValkeyUnavailable as error:
        if exposed:
            sys.exit(f"stokehold: {error}")
        server.keys_needed = settings().api_keys_required
        logger.warning("%s", error)
    except StokeholdError as error:
        sys.exit(f"stokehold: {error}")
    if exposed and not server.keys_needed:
        sys.exit(
            f"stokehold: There is no API key, so every client that reaches {exposed[0]} could use this service. "
            "Make one (scripts/stokehold keys create NAME), or listen on 127.0.0.1 (STOKEHOLD_API_LISTEN)."
        )


def post_fork(server: Server, worker: ServingProcess) -> None:
    """Pass on that the service requires a key: a restarted process may find an empty Valkey."""
    worker.keys_needed = server.keys_needed


def post_worker_init(worker: ServingProcess) -> None:
    """Keep requiring a key, if the service did when it started."""
    if worker.keys_needed:
        service_of(worker.wsgi).keys.require()


def is_loopback(address: Address) -> bool:
    """Return whether only this machine reaches an address: loopback, or the path of a socket."""
    if isinstance(address, str):
        return True
    try:
        return ipaddress.ip_address(address[0]).is_loopback
    except ValueError:
        return address[0] == "localhost"
