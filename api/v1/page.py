"""``/``: a page on which a person draws an image."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, Response, render_template

from api.http.context import current_service
from api.http.security_headers import POLICY, page_policy
from storage import Storage, StorageError

blueprint = Blueprint("page", __name__)


@blueprint.get("/")
def index() -> Response:
    """The page. It says nothing of this service: what it shows, it asks the API for, with a key where one is needed."""
    response = Response(render_template("page.html"))
    images = ("'self'", "data:", *image_origins(current_service().storage))
    response.headers[POLICY] = page_policy(script="'self'", style="'self'", connect="'self'", img=" ".join(images))
    return response


def image_origins(storage: Storage) -> tuple[str, ...]:
    """Return where a browser fetches images from; nowhere if storage cannot say so now, as without credentials."""
    try:
        url = urlsplit(storage.url("images/"))
    except StorageError:
        return ()
    return (f"{url.scheme}://{url.netloc}",)
