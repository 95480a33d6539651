"""Where adapters are found: folders, the Hub, and uploads."""

__all__ = ["folder", "hub", "resolver", "uploaded"]
