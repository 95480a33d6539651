"""Base models: which are served, their families, and the shapes of their modules."""

__all__ = ["families", "registry", "shapes"]
