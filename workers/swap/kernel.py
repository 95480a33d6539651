"""The swap's inner loop for bfloat16 weights on a CPU: kernel.c, compiled for the CPU that it runs on."""

from __future__ import annotations

import ctypes
import functools
import logging
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

from workers.swap.changes import LowRank

logger = logging.getLogger(__name__)

SOURCE = Path(__file__).with_suffix(".c")
COMPILER = "cc"
THIS_CPU = "-march=native"
STRIPE = 512
"""Columns for which the kernel lays out the factors at a time, so that they stay in the cache."""


@dataclass(frozen=True)
class Merge:
    """One weight, and what it becomes: ``pristine + sum of scale * up @ down``.

    Attributes:
        weight: [rows, columns], contiguous.
        pristine: of the same shape and dtype.
        products: each with the scale of its adapter; at least one. Their matrices are contiguous too.
    """

    weight: torch.Tensor
    pristine: torch.Tensor
    products: Sequence[tuple[LowRank, float]]

    @property
    def scratch(self) -> int:
        """Numbers of 4 bytes that the kernel wants to lay out the factors."""
        return (self.weight.shape[0] + STRIPE) * sum(product.down.shape[0] for product, _ in self.products)

    @property
    def fits_kernel(self) -> bool:
        """Return whether the kernel can do it: bfloat16 in this machine's memory, in whole tiles and pairs of ranks."""
        weight = self.weight
        return (
            weight.dtype == torch.bfloat16
            and weight.device.type == "cpu"
            and weight.shape[0] % 8 == 0
            and weight.shape[1] % 32 == 0
            and all(
                product.down.dtype == product.up.dtype == torch.bfloat16 and product.down.shape[0] % 2 == 0
                for product, _ in self.products
            )
        )


class ProductStruct(ctypes.Structure):
    """``struct product``."""

    _fields_ = (
        ("up", ctypes.c_void_p),
        ("down", ctypes.c_void_p),
        ("rank", ctypes.c_int64),
        ("scale", ctypes.c_float),
    )


class RewriteStruct(ctypes.Structure):
    """``struct rewrite``."""

    _fields_ = (
        ("weight", ctypes.c_void_p),
        ("pristine", ctypes.c_void_p),
        ("rows", ctypes.c_int64),
        ("columns", ctypes.c_int64),
        ("products", ctypes.POINTER(ProductStruct)),
        ("count", ctypes.c_int64),
    )


class MergeKernel:
    """The compiled kernel."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._rewrite_weights = library.rewrite_weights
        self._rewrite_weights.argtypes = (
            ctypes.POINTER(RewriteStruct),
            ctypes.c_int64,
            ctypes.POINTER(ctypes.c_int64),
            ctypes.c_void_p,
        )
        self._rewrite_weights.restype = None

    def run(self, merges: Sequence[Merge]) -> None:
        """Rewrite these weights, at least one and all of them fitting, on as many threads as torch has."""
        rewrites = (RewriteStruct * len(merges))(*map(rewrite_struct, merges))
        threads = torch.get_num_threads()
        scratch = torch.empty(threads, max(merge.scratch for merge in merges), dtype=torch.int32)
        following = ctypes.c_int64(0)

        def work(place: torch.Tensor) -> None:
            self._rewrite_weights(rewrites, len(rewrites), following, place.data_ptr())

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, scratch))


def rewrite_struct(merge: Merge) -> RewriteStruct:
    """A merge as the kernel takes it. It keeps the structs of its products alive, and nobody the tensors."""
    products = [
        ProductStruct(product.up.data_ptr(), product.down.data_ptr(), product.down.shape[0], scale * product.scale)
        for product, scale in merge.products
    ]
    return RewriteStruct(
        merge.weight.data_ptr(),
        merge.pristine.data_ptr(),
        *merge.weight.shape,
        (ProductStruct * len(products))(*products),
        len(products),
    )


@functools.cache
def load_kernel() -> MergeKernel | None:
    """The kernel for this CPU, compiled once in a process; None without a C compiler that can."""
    try:
        return compile_kernel(THIS_CPU)
    except OSError as error:
        reason = str(error)
    except subprocess.CalledProcessError as error:
        reason = error.stderr
    logger.warning("Install a C compiler, `cc`, and swaps on this CPU take a fraction of the time: %s", reason)
    return None


def compile_kernel(*options: str) -> MergeKernel:
    """Compile the kernel, which takes a second, and load it.

    Raises:
        OSError, subprocess.CalledProcessError: there is no compiler, or it cannot.
    """
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "merge_kernel.so")
        command = [COMPILER, "-O3", *options, f"-DSTRIPE={STRIPE}", "-shared", "-fPIC", "-o", str(library), str(SOURCE)]
        subprocess.run(command, check=True, capture_output=True, text=True)
        return MergeKernel(ctypes.CDLL(str(library)))
