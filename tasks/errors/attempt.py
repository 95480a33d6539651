"""Errors that end an attempt at a job, and not the job."""

from __future__ import annotations

from tasks.errors.root import StokeholdError


class MachineFault(StokeholdError):
    """An attempt failed for a reason that lies in the worker or its machine.

    The job goes back and is tried on another worker where there is one; the worker tests itself. A job of which every
    attempt ends like this fails with the ``code`` and the sentence of the last one, which name nothing of our insides.
    """

    code = "machine_fault"
    title = "A fault of the worker's machine"


class AdapterUnavailable(MachineFault):
    """This machine cannot get or keep the adapter's file: its disk, its folders, its way to the Hub or to storage."""

    code = "adapter_fetch_failed"


class AttemptStalled(MachineFault):
    """The attempt made no progress for too long, or took longer than any attempt may."""

    code = "attempt_stalled"


class DeviceFault(MachineFault):
    """The device or its driver failed: a lost context, an illegal access, a library that is not initialised."""

    code = "device_fault"


class DrawingFault(MachineFault):
    """The pipeline raised an error that the request does not explain; another worker may draw it."""

    code = "drawing_failed"


class SelfTestFailed(MachineFault):
    """The worker cannot do what each job needs: draw the image that it knows, keep a file, store an object.

    Attributes:
        is_of_base: loading the base model again may help.
    """

    code = "self_test_failed"

    def __init__(self, message: str, *, is_of_base: bool = False) -> None:
        super().__init__(message)
        self.is_of_base = is_of_base


class StorageFault(MachineFault):
    """Storage refuses this worker's objects, or was unavailable for too long."""

    code = "storage_unavailable"


class UnknownFault(MachineFault):
    """The worker met an error that it does not know."""

    code = "failed"


class DrawingInterrupted(StokeholdError):
    """The worker cannot draw this job to its end, through no fault of the job."""

    code = "drawing_interrupted"


class BaseReplaced(DrawingInterrupted):
    """The base was found changed, and loaded again, while this drawing let others go first."""

    code = "base_replaced"


class WorkerStopping(DrawingInterrupted):
    """The worker shuts down, and lets another one draw or publish this job."""

    code = "worker_stopping"


class LeftToAnother(StokeholdError):
    """An attempt at the job met a fault of this worker's machine, and another worker is there to try it."""

    code = "left_to_another"


class LeaseLost(StokeholdError):
    """The job belongs to another attempt, or to none; whatever this attempt made must not be published."""

    code = "lease_lost"
