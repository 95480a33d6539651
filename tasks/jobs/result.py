"""The result of a job: its images, its timings and their provenance, or its failure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from tasks.fields import Stored


class Environment(Stored):
    """The device and the software that an image was drawn with."""

    device: str = Field(description="what its kernels ran on")
    dtype: str = Field(description="precision of the weights")
    versions: Mapping[str, str] = Field(description="of the software, by name")


class ImageDifference(Stored):
    """The difference between two images, in steps of 8-bit RGB: from 0 to 255."""

    largest: int
    mean: float


class FactDifference(Stored):
    """A fact that differs between two manifests."""

    name: str
    then: str
    now: str


class ReplayReport(Stored):
    """The images of a job compared with those of the job that it draws again."""

    of: str = Field(description="id of the first job")
    identical: bool | None = Field(description="whether every pixel is the same; null where they cannot be compared")
    reason: str | None = Field(None, description="why they cannot be compared")
    images: tuple[ImageDifference | None, ...] = Field(
        (), description="one for each image; null if the safety checker withheld one of the two"
    )
    differs: tuple[FactDifference, ...] = Field((), description="facts of the manifest that have changed")


class SwapWay(StrEnum):
    """The way by which a job's adapters came into the base model."""

    KEPT = "kept"
    """They were merged already."""
    MERGED = "merged"
    """One pass over the weights, from the pristine ones."""


Seconds = Annotated[float, AfterValidator(lambda seconds: round(seconds, 3))]


def known_swap_way(way: object) -> object:
    """Return a way, or None for one of a newer version: it is only reported."""
    return way if way in tuple(SwapWay) else None


class Timings(Stored):
    """Seconds that each stage took; None until it has ended."""

    queued: Seconds | None = Field(None, description="from acceptance until a worker claimed it")
    adapter: Seconds | None = Field(None, description="fetch and parse the adapters")
    swap: Seconds | None = Field(None, description="merge the adapters into the base model")
    draw: Seconds | None = Field(None, description="run the pipeline")
    publish: Seconds | None = Field(None, description="encode and upload the images")
    swap_way: Annotated[SwapWay | None, BeforeValidator(known_swap_way)] = Field(
        None, description="how the adapters were applied to the base model"
    )


class AppliedStrength(Stored):
    """Factors of an adapter's layers: alpha over rank, times the job's scale."""

    lowest: float = Field(description="of all its layers")
    highest: float = Field(description="of all its layers")
    alphas_from: tuple[str, ...] = Field(
        description="where the alphas stand: in `tensors`, in `metadata`, or `nowhere`, which is full strength"
    )


class AdapterReceipt(Stored):
    """The effect of merging an adapter."""

    ref: str
    matched: int = Field(description="number of weights that it changes")
    unmatched: Mapping[str, str] = Field({}, description="the first tensors of its file that had no effect, and why")
    unmatched_count: int = Field(0, description="number of tensors of its file that had no effect")
    strength: AppliedStrength | None = Field(None, description="null for formats that have no alpha")
    relative_change: float | None = Field(
        description="norm of the change divided by the norm of the weights that it changes; near 0 means no effect"
    )


class BaseReceipt(Stored):
    """The weights that an image was drawn with, below what was merged into them."""

    fingerprint: str = Field(description="of all weights of the base model as they were loaded, 16 hexadecimal digits")
    swaps_since_check: int = Field(
        description="swaps since the weights were last verified to be bit-identical to what was loaded"
    )


class StoredImage(Stored):
    """One image in storage. ``flagged`` images were withheld by the safety checker and have no key."""

    key: str | None = Field(description="object key in the bucket")
    width: int = Field(description="pixels")
    height: int = Field(description="pixels")
    bytes: int
    sha256: str | None
    seed: int
    flagged: bool = False


class Provenance(Stored):
    """Everything that images depend on beside the base model and the request."""

    adapter_files: tuple[str, ...] = Field((), description="SHA-256 of each adapter's file, as it was merged")
    environment: Environment | None = None
    batch_size: int = Field(1, description="images that one pass of the pipeline drew; kernels may round differently")

    @property
    def provenance(self) -> Provenance:
        """Return these facts alone, from a larger model."""
        return Provenance(**{name: getattr(self, name) for name in Provenance.model_fields})


class Result(Provenance):
    """The result of a job that succeeded."""

    images: tuple[StoredImage, ...]
    receipts: tuple[AdapterReceipt, ...] = ()
    base: BaseReceipt | None = None
    replay: ReplayReport | None = Field(None, description="of a job that draws another one again")
    warnings: tuple[str, ...] = Field((), description="what is doubtful about the images")


class Failure(Stored):
    """The reason why a job failed: a stable code, and a sentence that says what to do."""

    code: str
    message: str
