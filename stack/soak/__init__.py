"""Minutes of random faults under load on the real stack, and a check of what clients saw: ``scripts/soak``."""
