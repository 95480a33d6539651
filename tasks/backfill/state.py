"""What a results folder knows of its batch, so that the same command goes on where it was."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.errors import InvalidRequest

NAME = "backfill.json"


class BackfillState(BaseModel):
    """Which batch the folder belongs to.

    Attributes:
        digest: SHA-256 of the lines as they were sent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_id: str
    digest: str


def read_state(folder: Path) -> BackfillState | None:
    """The state of a folder, if it has one.

    Raises:
        InvalidRequest: it cannot be read.
    """
    try:
        return BackfillState.model_validate_json((folder / NAME).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        raise InvalidRequest(f"{folder / NAME} cannot be read. Remove it to begin anew. ({error})") from error


def write_state(folder: Path, state: BackfillState) -> None:
    """Note which batch a folder belongs to."""
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder / f"{NAME}.new"
    beside.write_text(state.model_dump_json(), "utf-8")
    beside.replace(folder / NAME)
