"""``/``: a page for generating images by hand."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, Response, render_template

from api.http.context import current_service
from api.http.security_headers import POLICY, page_policy
from storage import Storage, StorageError

blueprint = Blueprint("page", __name__)


@blueprint.get("/")
def index() -> Response:
    """Return the page. It holds no data: it gets all from the API, with a key where one is needed."""
    response = Response(render_template("page.html"))
    images = ("'self'", "data:", *image_origins(current_service().storage))
    response.headers[POLICY] = page_policy(script="'self'", style="'self'", connect="'self'", img=" ".join(images))
    return response


def image_origins(storage: Storage) -> tuple[str, ...]:
    """Return the origins of images for a browser; none if storage cannot sign URLs, as without credentials."""
    try:
        url = urlsplit(storage.url("images/"))
    except StorageError:
        return ()
    return (f"{url.scheme}://{url.netloc}",)
