"""The contract between the API and the workers. Never imports torch."""

__version__ = "0.1.0"
