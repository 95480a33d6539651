"""The base model in memory: its pipeline, its device, and the one thread that uses it."""

__all__ = ["device", "device_thread", "pipeline", "schedulers"]
