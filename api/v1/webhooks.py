"""``/v1/webhooks``: the secret that signs the client's webhooks, and the log of their deliveries."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import BaseModel, ConfigDict, Field

from api.http.authentication import current_owner
from api.http.context import current_service
from api.http.messages import IdempotencyKey, Parameters, json_response
from api.http.problems import documented
from tasks.errors import WebhookSecretFixed
from tasks.webhooks.delivery import Delivery, DeliveryPage
from tasks.webhooks.secrets import BOTH_FOR_S, MAX_BOTH_FOR_S

blueprint = APIBlueprint("webhooks", __name__, url_prefix="/v1/webhooks", abp_tags=[Tag(name="webhooks")])


class SecretQuery(Parameters):
    """Options of a rotation."""

    model_config = ConfigDict(extra="forbid")

    both_for_s: int = Field(
        BOTH_FOR_S,
        ge=0,
        le=MAX_BOTH_FOR_S,
        description="seconds for which the previous secret signs too; use 0 if it has leaked",
    )


class RotationHeader(Parameters):
    """Headers of a rotation, which may be repeated safely."""

    idempotency_key: IdempotencyKey = Field(
        None,
        description="chosen by the client, printable ASCII without spaces; the same key gives the secret that it made, "
        "as long as that is the latest",
    )


class WebhookSecret(BaseModel):
    """A new secret."""

    model_config = ConfigDict(frozen=True)

    secret: str = Field(description="for any library of the Standard Webhooks specification; shown only now")
    previous_until: datetime = Field(description="until when the previous secret, if any, signs too")


class DeliveryPath(BaseModel):
    """Path of a delivery."""

    delivery_id: str = Field(description="the `webhook-id` of its tries")


class ListQuery(Parameters):
    """The page of a list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(20, ge=1, le=100, description="maximum number of entries")
    cursor: str | None = Field(None, max_length=200, description="`next_cursor` of the previous page")


ONE = documented(HTTPStatus.NOT_FOUND, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE)


@blueprint.post(
    "/secret",
    operation_id="rotate_webhook_secret",
    description="Takes no body. Creates a new secret and returns it, only this once. It signs from now on. For a while "
    "the previous secret signs too: each delivery then has two signatures, and either is valid.",
    responses={
        HTTPStatus.CREATED: WebhookSecret,
        **documented(HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    },
)
def rotate_secret(query: SecretQuery, header: RotationHeader) -> Response:
    """Make a webhook secret."""
    owner = current_owner()
    if owner is None:
        raise WebhookSecretFixed("This service has no API keys and one webhook secret, which its operator sets.")
    secret, until = current_service().webhook_secrets.rotate(
        owner, both_for_s=query.both_for_s, idempotency_key=header.idempotency_key
    )
    return json_response(WebhookSecret(secret=secret, previous_until=until), HTTPStatus.CREATED)


@blueprint.get(
    "/deliveries",
    operation_id="list_deliveries",
    description="Newest first. Finished deliveries are kept for a while, at most the latest 1000.",
    responses={
        HTTPStatus.OK: DeliveryPage,
        **documented(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.SERVICE_UNAVAILABLE),
    },
)
def list_deliveries(query: ListQuery) -> Response:
    """List deliveries of webhooks."""
    return json_response(current_service().deliveries.page(current_owner(), limit=query.limit, cursor=query.cursor))


@blueprint.get("/deliveries/<delivery_id>", operation_id="get_delivery", responses={HTTPStatus.OK: Delivery, **ONE})
def get_delivery(path: DeliveryPath) -> Response:
    """Read a delivery."""
    return json_response(current_service().deliveries.get(current_owner(), path.delivery_id))


@blueprint.post(
    "/deliveries/<delivery_id>/redeliver",
    operation_id="redeliver",
    description="Takes no body. Sends it at once, with the same `webhook-id`, and if that fails with all its retries.",
    responses={HTTPStatus.ACCEPTED: Delivery, **ONE},
)
def redeliver(path: DeliveryPath) -> Response:
    """Send a delivery again."""
    delivery = current_service().deliveries.redeliver(current_owner(), path.delivery_id)
    return json_response(delivery, HTTPStatus.ACCEPTED)
