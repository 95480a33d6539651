"""The whole service on one machine: for ``scripts/up``, ``scripts/smoke`` and the tests."""
