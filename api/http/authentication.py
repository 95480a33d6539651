"""Authentication: ``Authorization: Bearer`` with an API key, needed as soon as there is one."""

from __future__ import annotations

from http import HTTPStatus

from flask import Flask, g, request
from flask_openapi3.types import SecuritySchemesDict

from api.http.context import current_service
from tasks.adapters.lookup.resolver import Requester
from tasks.batches.batch import Batch
from tasks.batches.store import no_batch
from tasks.errors import ApiKeyRequired
from tasks.jobs.job import Job
from tasks.jobs.reader import no_job
from tasks.keys import ApiKey, ApiKeys

SCHEME = "api_key"
SECURITY_SCHEMES: SecuritySchemesDict = {
    SCHEME: {"type": "http", "scheme": "bearer", "description": "required once an API key exists"}
}
SECURITY: list[dict[str, list[str]]] = [{SCHEME: []}, {}]
"""The second: a service without a key is open."""

GUARDED = ("/v1/", "/models/")
"""Beginnings of the paths that take a key."""

REFUSALS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS)


def register(app: Flask) -> None:
    """Refuse requests without a key where one is required."""
    app.before_request(authenticate)


def authenticate() -> None:
    """Find the key of a request to a guarded path, and count the request.

    Raises:
        ApiKeyRequired: there is no key with this secret (401).
        LimitExceeded: it was used too often in the last minute (429).
    """
    if request.url_rule is None or not request.url_rule.rule.startswith(GUARDED):  # no such path, or an open one
        return
    service = current_service()
    g.api_key = key_of_request(service.keys)
    if g.api_key is not None:
        service.quotas.count_request(g.api_key)


def key_of_request(keys: ApiKeys) -> ApiKey | None:
    """Return the key of a request; None where none is needed.

    Raises:
        ApiKeyRequired: there are keys, and this is not one of them.
    """
    shown = request.authorization
    secret = shown.token if shown is not None and shown.type == "bearer" else None
    key = keys.find(secret) if secret else None
    if key is None and keys.are_needed():
        raise ApiKeyRequired("Send a valid API key in the header Authorization: Bearer <key>.")
    return key


def current_key() -> ApiKey | None:
    """Return the key of the present request; None where no key is configured."""
    key: ApiKey | None = g.api_key
    return key


def current_owner() -> str | None:
    """Return the id of the key of the present request; None where no key is configured."""
    key = current_key()
    return None if key is None else key.id


def own_batch(batch_id: str) -> Batch:
    """Return a batch of the client that sends the present request.

    Raises:
        BatchNotFound: there is none, or it is another's, which is not disclosed.
    """
    batch = current_service().batches.get(batch_id)
    if batch.options.owner != current_owner():
        raise no_batch(batch_id)
    return batch


def requester() -> Requester:
    """Return which adapters the client that sends the present request may see and use."""
    key: ApiKey | None = g.api_key
    return Requester() if key is None else Requester(key.id, key.allow_private)


def own_job(job_id: str) -> Job:
    """Return a job of the client that sends the present request.

    Raises:
        JobNotFound: there is none, or it is another's, which is not disclosed.
    """
    job = current_service().store.get(job_id)
    if job.options.owner != current_owner():
        raise no_job(job_id)
    return job
