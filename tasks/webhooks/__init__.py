"""Webhooks: signed messages to a client's server about the end of a job or a batch."""

__all__ = ["deliveries", "delivery", "ends", "notice", "secrets", "sender"]
