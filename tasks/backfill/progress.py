"""Progress of a batch, on the terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from tasks.api_client import ApiClient, ApiResponse
from tasks.batches.batch import BatchStatus
from tasks.batches.record import BatchRecord
from tasks.errors import ServiceUnavailable

POLL_S = 2.0
BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} lines [{elapsed}{postfix}]"


def watch(client: ApiClient, batch_id: str, sleep: Callable[[float], None] = time.sleep) -> BatchRecord:
    """Show the progress of a batch until it has ended. While the API is unavailable, it is asked again.

    Raises:
        RequestRefused: the API refuses the request.
    """
    bar: tqdm[Any]
    with tqdm(dynamic_ncols=True, bar_format=BAR) as bar:
        while True:
            try:
                record = read_batch(client, batch_id)
            except ServiceUnavailable as error:
                bar.set_postfix_str(str(error)[:60])
            else:
                show(bar, record)
                if record.status.is_terminal:
                    return record
            sleep(POLL_S)


def read_batch(client: ApiClient, batch_id: str) -> BatchRecord:
    """The batch as it is now.

    Raises:
        RequestRefused, ServiceUnavailable: as ``batch_record`` and ``ApiClient.send`` do.
    """
    return batch_record(client.get(f"/v1/batches/{batch_id}"))


def batch_record(response: ApiResponse) -> BatchRecord:
    """Return the record of a batch in a response.

    Raises:
        RequestRefused, ServiceUnavailable: as ``ApiResponse.require_success`` does.
    """
    return BatchRecord.model_validate_json(response.require_success().body)


def show(bar: tqdm[Any], record: BatchRecord) -> None:
    """Move the bar to the progress of the batch."""
    counts = record.counts
    bar.total = counts.lines or None
    bar.n = counts.succeeded + counts.failed + counts.canceled
    if record.status is BatchStatus.VALIDATING:
        bar.set_description_str("reading the lines")
    else:
        bar.set_description_str(record.status)
    left = "?" if record.eta_s is None else f"{record.eta_s:.0f} s"
    bar.set_postfix_str(f"{counts.failed} failed, {images_per_s(record)} images/s, {left} left")
    bar.refresh()


def images_per_s(record: BatchRecord) -> str:
    """Return the images a second since the batch began, those before this command included."""
    if record.lines_per_s is None or record.forecast is None:
        return "?"
    return f"{record.lines_per_s * record.forecast.images / record.forecast.lines:.1f}"
