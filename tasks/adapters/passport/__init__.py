"""An adapter's passport: what its layers are, and whether and how a base model takes them."""

__all__ = ["facts", "fit", "passport"]
