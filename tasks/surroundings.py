"""What pictures depend on beside the request and the weights."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from tasks.fields import Stored


class Surroundings(Stored):
    """The device and the software that a picture was drawn with."""

    device: str = Field(description="what its kernels ran on")
    dtype: str = Field(description="precision of the weights")
    versions: Mapping[str, str] = Field(description="of the software, by name")
