"""Warnings about adapters that were merged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tasks.jobs.job import JobSpec
from tasks.jobs.result import AdapterReceipt

SHOWN = 200
"""Characters of a key that a warning shows."""


def adapter_warnings(receipts: Sequence[AdapterReceipt], spec: JobSpec) -> Iterator[str]:
    """A sentence for each adapter of which something, or everything, changes nothing."""
    used = {scaled.adapter.ref for scaled in spec.adapters if scaled.scale}
    for receipt in receipts:
        for key, reason in tuple(receipt.unmatched.items())[:1]:
            many = "1 tensor" if receipt.unmatched_count == 1 else f"{receipt.unmatched_count} tensors"
            yield f"Of adapter {receipt.ref!r} {many} had no effect, such as {key[:SHOWN]}: {reason}."
        if receipt.relative_change == 0 and receipt.ref in used:
            yield f"Adapter {receipt.ref!r} had no effect: all that it adds is zero. Train or export it again."
