"""Stokehold's own API, version 1."""
