"""The state of a results folder, so that the same command continues its batch."""

from __future__ import annotations

from pathlib import Path

from tasks.errors import InvalidRequest, RecordNotUnderstood
from tasks.fields import StoredRecord, read

NAME = "backfill.json"


class BackfillState(StoredRecord):
    """The batch that the folder belongs to.

    Attributes:
        digest: SHA-256 of the lines as they were sent.
    """

    batch_id: str
    digest: str


def read_state(folder: Path) -> BackfillState | None:
    """The state of a folder, if it has one.

    Raises:
        InvalidRequest: it cannot be read.
    """
    try:
        return read(BackfillState, (folder / NAME).read_bytes(), NAME)
    except FileNotFoundError:
        return None
    except (OSError, RecordNotUnderstood) as error:
        raise InvalidRequest(f"{folder / NAME} cannot be read. Remove it to start again. ({error})") from error


def write_state(folder: Path, state: BackfillState) -> None:
    """Note which batch a folder belongs to."""
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f"{NAME}.new"
    beside.write_text(state.model_dump_json(), "utf-8")
    beside.replace(folder / NAME)
