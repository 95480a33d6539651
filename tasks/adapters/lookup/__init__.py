"""Where adapters are found: folders, the Hub, and uploads."""

__all__ = ["file_memory", "folder", "hub", "resolver", "uploaded"]
