"""The APIs of others: the Hub's Inference API and OpenAI's images."""

__all__ = ["hub", "openai"]
