"""Errors of torch and diffusers, translated in one place: errors of the job, and errors of the machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from tasks.errors import DeviceFault, DrawingFailed, DrawingFault, StokeholdError
from workers.base.device import first_line, is_out_of_memory, memory_errors

DEVICE_ERRORS = (
    *("CUDA error", "CUDA driver", "cuda runtime", "CUBLAS_STATUS", "cuBLAS", "CUDNN_STATUS", "cuDNN error", "NCCL"),
    *("CUSOLVER_STATUS", "CUFFT_STATUS", "CUSPARSE_STATUS", "HIP error", "hipErr", "MPS backend", "NVML", "NVRTC"),
    *("device-side assert", "illegal memory access", "unspecified launch failure", "uncorrectable ECC", "Xid"),
)
"""Parts of the texts with which torch reports that a device, its driver or one of its libraries failed."""

SHAPE_ERRORS = (
    *("size of tensor", "expanded size of the tensor", "Sizes of tensors must match", "Expected size for first two"),
    *("shapes cannot be multiplied", "is invalid for input of size", "expected input", "Kernel size can't be greater"),
    *("Calculated padded input size", "output size is too small"),
)
"""Parts of the texts with which torch refuses tensors whose shapes do not go together: they follow from the request."""


@contextmanager
def drawing_errors() -> Iterator[None]:
    """Translate exceptions that are raised while adapters are merged or a pipeline runs.

    Raises:
        DeviceFault: the device or its driver failed.
        DrawingFailed: the pipeline refuses the request, on any worker.
        DrawingFault: the pipeline raised an error that the request does not explain.
        OutOfMemory: an allocation failed.
        StokeholdError: one of our own, as it was raised.
    """
    with memory_errors():
        try:
            yield
        except StokeholdError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise translated(error) from error


def translated(error: Exception) -> StokeholdError:
    """Return the error for a job that met this exception."""
    text = str(error)
    if is_of_device(error):
        return DeviceFault("The worker's device failed while it drew this job. Submit the job again later.")
    if isinstance(error, ValueError | TypeError | IndexError) or any(words in text for words in SHAPE_ERRORS):
        return DrawingFailed(f"The pipeline could not draw this: {first_line(error)}")
    return DrawingFault(f"The pipeline could not draw this: {first_line(error)}")


def is_of_device(error: BaseException) -> bool:
    """Return whether the device, its driver or one of its libraries failed."""
    return isinstance(error, torch.AcceleratorError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in DEVICE_ERRORS)
    )
