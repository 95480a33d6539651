"""Requests as clients write them, validated."""

__all__ = ["job", "named_model", "openai", "schedulers"]
