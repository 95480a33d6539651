"""``/v1/adapters``: the catalogue."""

from __future__ import annotations

from http import HTTPStatus

from flask import Response, request, url_for
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models import RawModel
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.http.authentication import current_owner, requester
from api.http.context import current_context, current_service
from api.http.messages import Parameters, json_response, require_json_object
from api.http.multipart import read_form
from api.http.problems import documented, of_validation
from tasks.adapters.catalogue.entry import CatalogueAdapter, Entry, Registration
from tasks.adapters.catalogue.listing import CatalogueDetail, CataloguePage, Search
from tasks.errors import StatusConflict

FORM = "multipart/form-data"
FORM_OVERHEAD_BYTES = 1 << 20
ENTRY, FILE = "entry", "file"

CREATED = {
    "description": "The adapter is in the catalogue.",
    "headers": {"Location": {"description": "the entry", "schema": {"type": "string", "format": "uri-reference"}}},
    "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{CatalogueDetail.__name__}"}}},
}

blueprint = APIBlueprint("adapters", __name__, url_prefix="/v1/adapters", abp_tags=[Tag(name="adapters")])


class AdapterPath(BaseModel):
    """Path of an entry."""

    name: str = Field(description="as `GET /v1/adapters` lists it")


class EntryBody(RawModel):
    """An entry as JSON, or a form with `entry` as JSON and then the `file`."""

    mimetypes = ["application/json", FORM]  # noqa: RUF012  (flask-openapi3 has it so)


class SearchQuery(Parameters):
    """Filters and page of the list of adapters."""

    model_config = ConfigDict(extra="forbid")

    q: str | None = Field(
        None, max_length=200, description="words in the name, title, description, trigger words or tags"
    )
    base: str | None = Field(None, max_length=200, description="slug of a base model")
    tag: str | None = Field(None, max_length=100)
    limit: int = Field(100, ge=1, le=500, description="maximum number of entries")
    after: str = Field("", max_length=64, description="`next_after` of the previous page")


@blueprint.get(
    "",
    operation_id="list_adapters",
    description="Your own, shared and folder adapters, by name, and the files of folders that are not among them, with "
    "the reason. Adapters on the Hub need no entry: a request names them as `owner/name`.",
    responses={
        HTTPStatus.OK: CataloguePage,
        **documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    },
)
def list_adapters(query: SearchQuery) -> Response:
    """Search the catalogue."""
    search = Search(text=query.q, base=query.base, tag=query.tag)
    return json_response(
        current_service().catalogue_list.page(current_owner(), search, limit=query.limit, after=query.after)
    )


@blueprint.post(
    "",
    operation_id="register_adapter",
    description="JSON for an adapter on the Hub (`ref`) or a file that is in storage (`upload`); or a form with the "
    "field `entry`, as JSON, and then the file part `file`. The file's header is judged before anything is stored.",
    responses={
        HTTPStatus.CREATED: CREATED,
        **documented(
            HTTPStatus.BAD_REQUEST,
            HTTPStatus.CONFLICT,
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            HTTPStatus.UNPROCESSABLE_ENTITY,
            HTTPStatus.SERVICE_UNAVAILABLE,
        ),
    },
)
def register_adapter(raw: EntryBody) -> Response:  # noqa: ARG001  (documented)
    """Put an adapter into the catalogue."""
    try:
        entry = registered_file() if request.mimetype == FORM else registered()
    except ValidationError as error:
        return of_validation(error)
    response = json_response(current_service().catalogue_list.detail(entry.name, current_owner()), HTTPStatus.CREATED)
    response.location = url_for(".get_adapter", name=entry.name)
    return response


def registered() -> CatalogueAdapter:
    """Register the adapter that a JSON body names."""
    require_json_object()
    return current_service().registrations.register(Registration.model_validate_json(request.get_data()), requester())


def registered_file() -> CatalogueAdapter:
    """Register the file in a form."""
    context, owner = current_context(), current_owner()
    request.max_content_length = context.service.settings.adapter_max_bytes + FORM_OVERHEAD_BYTES
    with context.uploads.one(owner):
        entry, file = read_form(ENTRY, FILE)
        return context.service.registrations.register_file(Entry.model_validate_json(entry), file, owner)


ONE = documented(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE)
CHANGE = {**ONE, **documented(HTTPStatus.CONFLICT)}


@blueprint.get("/<name>", operation_id="get_adapter", responses={HTTPStatus.OK: CatalogueDetail, **ONE})
def get_adapter(path: AdapterPath) -> Response:
    """Read an entry of the catalogue."""
    return json_response(current_service().catalogue_list.detail(path.name, current_owner()))


@blueprint.delete(
    "/<name>",
    operation_id="remove_adapter",
    description="Jobs that were accepted before can use its file for another day.",
    responses={HTTPStatus.NO_CONTENT: {"description": "The adapter was removed."}, **CHANGE},
)
def remove_adapter(path: AdapterPath) -> Response:
    """Remove the client's own entry."""
    current_service().catalogue.remove(own_entry(path.name))
    return Response(status=HTTPStatus.NO_CONTENT)


@blueprint.post(
    "/<name>/pin",
    operation_id="pin_adapter",
    description="Takes no body. Every worker of its base model keeps it in memory.",
    responses={HTTPStatus.OK: CatalogueDetail, **CHANGE},
)
def pin_adapter(path: AdapterPath) -> Response:
    """Pin the client's own entry."""
    current_service().catalogue.pin(own_entry(path.name))
    return json_response(current_service().catalogue_list.detail(path.name, current_owner()))


@blueprint.delete("/<name>/pin", operation_id="unpin_adapter", responses={HTTPStatus.OK: CatalogueDetail, **CHANGE})
def unpin_adapter(path: AdapterPath) -> Response:
    """Unpin the client's own entry."""
    current_service().catalogue.unpin(own_entry(path.name))
    return json_response(current_service().catalogue_list.detail(path.name, current_owner()))


def own_entry(name: str) -> CatalogueAdapter:
    """Return an entry that the client of the present request may change.

    Raises:
        AdapterNotInCatalogue: there is none that the client may see.
        StatusConflict: it is another's, or a file of a folder.
    """
    service, owner = current_service(), current_owner()
    record = service.catalogue_list.detail(name, owner)
    if not record.mine:
        raise StatusConflict(f"The adapter {name!r} is not yours. Only its owner or the operator can change it.")
    return service.catalogue.get(name, owner)
