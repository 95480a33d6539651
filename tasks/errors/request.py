"""Errors of a request: the client must change it. Their messages reach the client."""

from __future__ import annotations

from typing import Self

from tasks.errors.root import StokeholdError


class RequestError(StokeholdError):
    """The request cannot be served as it is.

    Attributes:
        field: path of the field at fault in the request body (``adapters.0.ref``), or None.
    """

    code = "bad_request"
    title = "The request is not valid"
    http_status = 400

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class AdapterExists(RequestError):
    """The name of an adapter is taken."""

    code = "adapter_exists"
    title = "The adapter already exists"
    http_status = 409


class AdapterNotInCatalogue(RequestError):
    """The catalogue has no entry of this name, or it is another's."""

    code = "adapter_not_in_catalogue"
    title = "The adapter is not in the catalogue"
    http_status = 404


class ApiKeyNotFound(RequestError):
    """No API key has this id."""

    code = "api_key_not_found"
    title = "The API key does not exist"
    http_status = 404


class ApiKeyRequired(RequestError):
    """The service has API keys, and the request shows none that is good."""

    code = "api_key_required"
    title = "An API key is required"
    http_status = 401


class BatchNotFound(RequestError):
    """No batch has this id, or its record has expired."""

    code = "batch_not_found"
    title = "The batch does not exist"
    http_status = 404


class CrossSiteRequest(RequestError):
    """A web page of another site sends a request that would change something, and no API key protects the service."""

    code = "cross_site_request"
    title = "Pages of other sites may not use this service"
    http_status = 403


class HostNotTrusted(RequestError):
    """The request is for a host name that is not trusted, and no API key protects the service."""

    code = "host_not_trusted"
    title = "The service does not answer to this host name"
    http_status = 421


class DeliveryNotFound(RequestError):
    """No delivery of a webhook has this id, or it is another's, or it is kept no longer."""

    code = "delivery_not_found"
    title = "The delivery does not exist"
    http_status = 404


class InvalidRequest(RequestError):
    """A value is well-formed and cannot be served."""

    code = "invalid_request"
    title = "A field of the request is not valid"
    http_status = 422

    def at(self, field: str | None, addition: str = "") -> Self:
        """A new error like this one, of this field of the request; its message may go on with an addition."""
        return type(self)(f"{self}{addition}", field=field)


class AdapterNotFound(InvalidRequest):
    """No adapter has this reference, here or on the Hub."""

    code = "adapter_not_found"
    title = "The adapter does not exist"


class AdapterNotUsable(InvalidRequest):
    """The adapter exists and cannot be used: gated, no LoRA, no safetensors file, another base."""

    code = "adapter_not_usable"
    title = "The adapter cannot be used"


class BaseModelNotServed(InvalidRequest):
    """No worker of this service keeps the base model."""

    code = "base_model_not_served"
    title = "The base model is not served here"


class IdempotencyConflict(InvalidRequest):
    """The idempotency key was used for another request."""

    code = "idempotency_conflict"
    title = "The idempotency key was used for another request"


class JobNotFound(RequestError):
    """No job has this id, or its record has expired."""

    code = "job_not_found"
    title = "The job does not exist"
    http_status = 404


class LimitExceeded(RequestError):
    """The API key has used as much as it may for now.

    Attributes:
        retry_after_s: whole seconds after which the same request may be served.
    """

    code = "limit_exceeded"
    title = "A limit of this API key has been reached"
    http_status = 429

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class PinRefused(RequestError):
    """The workers' memory has no room for another pinned adapter, or the adapter cannot be pinned."""

    code = "pin_refused"
    title = "The adapter cannot be pinned"
    http_status = 409


class StatusConflict(RequestError):
    """The job's status does not allow this step."""

    code = "status_conflict"
    title = "The job's status does not allow this"
    http_status = 409


class WebhookSecretFixed(RequestError):
    """Without API keys there is one secret, which the operator chooses."""

    code = "webhook_secret_fixed"
    title = "The operator sets the webhook secret"
    http_status = 409
