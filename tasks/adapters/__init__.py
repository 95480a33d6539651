"""Adapters, from a reference in a request to the file that a worker merges."""
