"""Requests to addresses that a client has chosen: only to public ones, bounded in time and size."""
