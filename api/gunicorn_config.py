"""How gunicorn serves the API: ``gunicorn --config python:api.gunicorn_config``."""

from __future__ import annotations

import ipaddress
import sys
from typing import Protocol

from tasks.api_keys import ApiKeys
from tasks.broker import connect
from tasks.errors import StokeholdError
from tasks.settings import settings

wsgi_app = "api:create_app()"
bind = settings().api_listen
worker_class = "gthread"
workers = 2
threads = 16
accesslog = "-"
logger_class = "api.access_log.AccessLog"
control_socket_disable = True
forwarded_allow_ips = ""  # a stranger's SCRIPT_NAME or X-Forwarded-Proto is not believed, from loopback either
forwarder_headers = ""

Address = str | tuple[str, int]


class Server(Protocol):
    """What a hook needs of gunicorn's arbiter."""

    @property
    def address(self) -> list[Address]: ...


def on_starting(server: Server) -> None:
    """Refuse to serve strangers.

    Raises:
        SystemExit: there is no API key, and an address can be reached from other machines.
    """
    exposed = [address for address in server.address if not is_local(address)]
    if not exposed:
        return
    try:
        with connect(settings().broker_url) as broker:
            needed = ApiKeys(broker).are_needed()
    except StokeholdError as error:
        sys.exit(f"stokehold: {error}")
    if not needed:
        sys.exit(
            f"stokehold: There is no API key, so whoever reaches {exposed[0]} could use this service. "
            "Make one (scripts/stokehold keys create NAME), or listen on 127.0.0.1 (STOKEHOLD_API_LISTEN)."
        )


def is_local(address: Address) -> bool:
    """Whether only this machine reaches an address: loopback, or the path of a socket."""
    if isinstance(address, str):
        return True
    try:
        return ipaddress.ip_address(address[0]).is_loopback
    except ValueError:
        return address[0] == "localhost"
