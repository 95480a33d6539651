"""Errors of a webhook's delivery. Its owner reads them in the delivery's record."""

from __future__ import annotations

from tasks.errors.root import StokeholdError


class DeliveryFailed(StokeholdError):
    """The receiver of a webhook did not accept it this time."""

    code = "delivery_failed"


class AddressRefused(StokeholdError):
    """A webhook leads to an address that is not of the public internet."""

    code = "address_refused"


class EventSuperseded(StokeholdError):
    """The batch that had ended is being tried again, or has ended again."""

    code = "event_superseded"
