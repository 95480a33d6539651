"""Shared by every route: bodies, responses, problems, keys, headers, documentation."""

__all__ = [
    "authentication",
    "context",
    "documentation",
    "messages",
    "multipart",
    "problems",
    "root_path",
    "security_headers",
    "web_pages",
]
