"""The catalogue: adapters that clients have registered by name."""

__all__ = ["entry", "listing", "registration", "store"]
