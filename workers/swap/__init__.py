"""The swap: pristine weights, what adapters change of them, and the rewrite in place."""

__all__ = ["changes", "engine", "parsed_adapter", "pristine", "warm_pipeline", "whole_changes"]
