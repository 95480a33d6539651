"""Jobs as clients submit, retry, list and read them."""

__all__ = ["listing", "quotas", "record", "retry", "specification", "submission"]
