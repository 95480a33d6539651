"""Shared by every route: bodies, answers, problems, keys, headers, documentation."""
