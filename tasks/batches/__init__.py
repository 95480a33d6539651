"""Batches: files of requests, planned, expanded into jobs, and collected into results."""
