"""``/``: a page on which a person draws a picture."""

from __future__ import annotations

from flask import Blueprint, render_template

from api.context import current_service

blueprint = Blueprint("page", __name__, template_folder="templates")


@blueprint.get("/")
def index() -> str:
    """The page, with the adapters that the catalogue offers now."""
    return render_template("index.html", adapters=current_service().adapter_folders.adapters())
