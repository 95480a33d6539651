"""The catalogue: adapters that clients have registered by name."""
