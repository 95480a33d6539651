"""Where adapters are found: folders, the Hub, uploads, and addresses."""

__all__ = ["addressed", "addressed_files", "checksums", "file_memory", "folder", "hub", "resolver", "uploaded"]
