"""The base model in memory: its pipeline, its device, and the one thread that uses it."""
