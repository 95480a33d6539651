"""The path under which a proxy serves the API, from the settings: headers that claim one are not believed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class RootPath:
    """Makes ``url_for``, and so ``Location`` and ``/docs``, begin with a path, whether or not the proxy removes it.

    Args:
        application: what is served there.
        path: such as ``/draw``; empty for the root of the host.
    """

    def __init__(self, application: WSGIApplication, path: str) -> None:
        self._application = application
        self._path = path

    def __call__(self, environment: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        inside = environment["PATH_INFO"]
        if f"{inside}/".startswith(f"{self._path}/"):
            inside = inside[len(self._path) :]
        environment |= {"SCRIPT_NAME": self._path, "PATH_INFO": inside or "/"}
        return self._application(environment, start_response)
