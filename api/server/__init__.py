"""gunicorn's worker: complete requests in, complete answers out, whatever clients do."""
