"""The swap: pristine weights, low-rank products, and the rewrite in place."""

__all__ = ["engine", "low_rank", "pristine", "warm_pipeline"]
