"""The base of what the job store keeps."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value that never changes and has no unknown fields."""

    # A prompt must not reach a log by way of an error message.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
