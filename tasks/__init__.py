"""The contract between the API and the workers. Never imports torch."""
