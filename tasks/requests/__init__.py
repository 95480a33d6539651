"""Requests as clients write them, validated."""
