"""Requests to addresses that a client has chosen: only to public ones, bounded in time and size."""

__all__ = ["file_source", "host_addresses", "safe_http", "webhook_target"]
