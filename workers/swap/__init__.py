"""The swap: pristine weights, low-rank products, and the rewrite in place."""
