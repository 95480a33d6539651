"""What became of pictures that were drawn again."""

from __future__ import annotations

from pydantic import Field

from tasks.fields import Stored


class PictureDifference(Stored):
    """How far two pictures are from one another, in steps of 8-bit RGB: from 0 to 255."""

    largest: int
    mean: float


class FactDifference(Stored):
    """A fact of a manifest that is another than it was."""

    name: str
    then: str
    now: str


class ReplayReport(Stored):
    """The pictures of a job against those of the one that it draws again."""

    of: str = Field(description="id of the first job")
    identical: bool | None = Field(description="whether every pixel is the same; null where they cannot be compared")
    reason: str | None = Field(None, description="why they cannot be compared")
    images: tuple[PictureDifference | None, ...] = Field(
        (), description="one for each picture; null where the safety checker held one of the two back"
    )
    differs: tuple[FactDifference, ...] = Field((), description="facts of the manifest that are others than they were")
