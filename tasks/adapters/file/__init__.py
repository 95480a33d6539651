"""An adapter's file: what refers to it, what identifies it, and what its header and its sidecar say."""

__all__ = ["address", "identity", "reference", "safetensors", "sidecar", "version"]
