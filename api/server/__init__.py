"""gunicorn's worker: requests and responses pass whole, however slow the clients are."""
