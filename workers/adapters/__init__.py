"""Adapters on their way to the swap: fetched, cached, read and parsed."""
