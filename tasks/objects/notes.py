"""Objects in storage that no record names: noted, so that none is left behind and no other is removed.

An object is noted before it is written, under a key that is used once. The script that makes its record takes the note
in the same atomic step: ``ZREM`` of the key from ``NOTED`` must return 1, or the object is gone, and there is no
record. The script that ends the record notes the object again. So at each moment an object has either a note or a
record, whatever dies in between. Nothing but ``remove_unrecorded`` removes such an object. A writer that was frozen for
longer than its note finds the object removed, or writes it after that; it gives the object up, which notes it again.

    stokehold:objects:noted    sorted  keys of objects, by the server's time after which they may be removed
    stokehold:objects:removing   set     keys of objects that are being removed: they cannot be taken any more
    stokehold:objects:removed    sorted  keys of objects that were removed, by the server's time, for a day
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from storage import Storage, StorageError, StorageMisconfigured, StorageNotReachable
from tasks.errors import ValkeyUnavailable
from tasks.valkey import Valkey

logger = logging.getLogger(__name__)

NOTED = "stokehold:objects:noted"
REMOVING = "stokehold:objects:removing"
REMOVED = "stokehold:objects:removed"
REMEMBER_S = 86_400
"""Seconds for which an object that was removed is remembered."""
WRITING_S = 3600
"""Seconds for which an object is kept while it is written and recorded: longer than any request or round lasts."""
MAX_PER_ROUND = 500


class ObjectNotes:
    """The notes. Every method may be repeated after a lost answer.

    Raises:
        ValkeyUnavailable: Valkey does not answer; the note may have been made or not.
    """

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey
        self._note = valkey.script("objects/note")
        self._give_up = valkey.script("objects/give_up")
        self._doom = valkey.script("objects/doom")

    def note(self, key: str, keep_s: float = WRITING_S) -> None:
        """Note an object that is about to be written; it is removed after ``keep_s`` seconds unless it is taken."""
        self._note(keys=[NOTED], args=[key, keep_s])

    def give_up(self, key: str) -> None:
        """Let an object be removed with the next round, if nothing has taken it; once more, if it was removed before.

        After a failure, call this instead of removing the object: a step whose answer was lost may have taken it.
        """
        self._give_up(keys=[NOTED, REMOVING, REMOVED], args=[key])

    @contextmanager
    def writing(self, key: str, keep_s: float = WRITING_S) -> Iterator[str]:
        """Note the object that is written and recorded in this block; it is removed if nothing has taken it by then.

        Raises:
            ValkeyUnavailable: it is not noted.
        """
        self.note(key, keep_s)
        try:
            yield key
        finally:
            try:
                self.give_up(key)
            except ValkeyUnavailable as error:
                logger.warning("object %s is removed later, unless something has taken it: %s", key, error)

    def doomed(self, count: int) -> list[str]:
        """Return at most ``count`` keys of objects whose time has come. From now on no record can take them."""
        return cast(list[str], self._doom(keys=[NOTED, REMOVING], args=[count]))

    def forget(self, key: str) -> None:
        """Note that an object has been removed."""
        now = self._valkey.now()
        with self._valkey.pipeline() as pipeline:
            pipeline.srem(REMOVING, key)
            pipeline.zadd(REMOVED, {key: now})
            pipeline.zremrangebyscore(REMOVED, "-inf", now - REMEMBER_S)
            pipeline.execute()


def remove_unrecorded(notes: ObjectNotes, storage: Storage) -> None:
    """Remove the objects that nothing has taken in time: one round of a stage of retention.

    An object that storage refuses to remove stays among those to be removed, and does not hold up the others.

    Raises:
        ValkeyUnavailable: Valkey does not answer.
        StorageMisconfigured, StorageNotReachable: storage does not serve us; the next round goes on.
    """
    for key in notes.doomed(MAX_PER_ROUND):
        try:
            storage.remove(key)
        except (StorageMisconfigured, StorageNotReachable):
            raise
        except StorageError as error:
            logger.error("object %s cannot be removed: %s", key, error)
        else:
            notes.forget(key)
