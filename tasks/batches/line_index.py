"""The lines of a batch on disk, for reading in another order: any number in constant memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

SCHEMA = """
    CREATE TABLE lines (number INTEGER PRIMARY KEY, custom_id TEXT UNIQUE, part INTEGER, body BLOB) STRICT;
    CREATE INDEX by_part ON lines (part);
"""


class LineIndex:
    """Lines by number, each belonging to a part; several lines must not have the same id."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def add(self, number: int, custom_id: str, part: int, body: bytes) -> bool:
        """Add a line, and return whether its id is new."""
        statement = "INSERT OR IGNORE INTO lines VALUES (?, ?, ?, ?)"
        return self._database.execute(statement, (number, custom_id, part, body)).rowcount == 1

    def replace(self, number: int, custom_id: str, part: int, body: bytes) -> None:
        """Add a line in the place of one of the same number."""
        self._database.execute("INSERT OR REPLACE INTO lines VALUES (?, ?, ?, ?)", (number, custom_id, part, body))

    def has(self, number: int, part: int) -> bool:
        """Return whether there is a line of this number that belongs to this part."""
        statement = "SELECT 1 FROM lines WHERE number = ? AND part = ?"
        return self._database.execute(statement, (number, part)).fetchone() is not None

    def bodies(self) -> Iterator[bytes]:
        """All lines by number."""
        return (body for (body,) in self._database.execute("SELECT body FROM lines ORDER BY number"))

    def part(self, part: int) -> Iterator[tuple[int, bytes]]:
        """Numbers and bodies of the lines of a part, by number."""
        statement = "SELECT number, body FROM lines WHERE part = ? ORDER BY number"
        yield from self._database.execute(statement, (part,))


@contextmanager
def line_index(folder: Path) -> Iterator[LineIndex]:
    """An empty index in a separate folder; it is removed with the folder at the end of the block."""
    with closing(sqlite3.connect(folder / "lines.sqlite", isolation_level=None)) as database:
        # Nothing of it outlives the process: after a crash the work begins anew.
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.executescript(SCHEMA)
        database.execute("BEGIN")
        yield LineIndex(database)
