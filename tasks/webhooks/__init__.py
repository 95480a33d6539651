"""Webhooks: signed messages that tell a client's server that a job or a batch has ended."""

__all__ = ["deliveries", "delivery", "ends", "notice", "secrets", "sender"]
