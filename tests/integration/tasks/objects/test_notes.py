"""Objects that no record names: removed in time, and never while something may still take them."""

from __future__ import annotations

import io

import pytest

from storage import S3Config, S3Storage, StorageError, StorageMisconfigured, StorageNotReachable
from tasks.objects.notes import NOTED, REMOVING, ObjectNotes, remove_unrecorded
from tasks.valkey import Valkey


@pytest.fixture
def notes(valkey: Valkey) -> ObjectNotes:
    return ObjectNotes(valkey)


def stored(storage: S3Storage, *keys: str) -> None:
    for key in keys:
        storage.put(key, b"content", content_type="text/plain")


def taken(valkey: Valkey, key: str) -> bool:
    """As a script does that records the object."""
    return valkey.zrem(NOTED, key) == 1


def test_an_object_that_nothing_takes_is_removed_when_its_time_has_come(notes: ObjectNotes, storage: S3Storage) -> None:
    notes.note("adapters/late", keep_s=0)
    notes.note("adapters/early", keep_s=60)
    stored(storage, "adapters/late", "adapters/late-one-of-another-name", "adapters/early")

    remove_unrecorded(notes, storage)

    assert list(storage.list("adapters/")) == ["adapters/early", "adapters/late-one-of-another-name"]


def test_an_object_that_was_taken_stays(notes: ObjectNotes, valkey: Valkey, storage: S3Storage) -> None:
    notes.note("adapters/one", keep_s=0)
    stored(storage, "adapters/one")

    assert taken(valkey, "adapters/one")
    notes.give_up("adapters/one")  # by a writer that did not get the answer
    remove_unrecorded(notes, storage)

    assert list(storage.list("adapters/")) == ["adapters/one"]


def test_an_object_that_is_given_up_goes_at_once(notes: ObjectNotes, storage: S3Storage) -> None:
    notes.note("adapters/one", keep_s=3600)
    stored(storage, "adapters/one")

    notes.give_up("adapters/one")
    remove_unrecorded(notes, storage)

    assert not list(storage.list("adapters/"))


def test_what_is_being_removed_cannot_be_taken(notes: ObjectNotes, valkey: Valkey) -> None:
    notes.note("adapters/one", keep_s=0)

    assert notes.doomed(10) == ["adapters/one"]
    assert not taken(valkey, "adapters/one")


def test_a_removal_that_was_cut_off_is_finished_later(
    notes: ObjectNotes, valkey: Valkey, storage: S3Storage, bucket: S3Config
) -> None:
    notes.note("adapters/one", keep_s=0)
    stored(storage, "adapters/one")
    notes.doomed(10)  # and the process ends here

    remove_unrecorded(notes, storage)

    assert not list(storage.list("adapters/"))
    assert not valkey.exists(NOTED, REMOVING)


def test_what_is_written_after_its_note_has_gone_is_removed_when_it_is_given_up(
    notes: ObjectNotes, storage: S3Storage
) -> None:
    with notes.writing("adapters/one", keep_s=0):  # by a process that stands still until its note is gone
        remove_unrecorded(notes, storage)
        stored(storage, "adapters/one")

    remove_unrecorded(notes, storage)

    assert not list(storage.list("adapters/"))


def test_what_is_written_while_it_is_removed_is_removed_when_it_is_given_up(
    notes: ObjectNotes, storage: S3Storage
) -> None:
    with notes.writing("adapters/one", keep_s=0):
        notes.doomed(10)
        stored(storage, "adapters/one")
        notes.forget("adapters/one")

    remove_unrecorded(notes, storage)

    assert not list(storage.list("adapters/"))


class Refusing(S3Storage):
    """Refuses to remove what has "locked" in its key, and does not answer for what has "away" in it."""

    def remove(self, key: str) -> None:
        if "locked" in key:
            raise StorageError("locked")
        if "away" in key:
            raise StorageNotReachable("away")
        super().remove(key)


def test_an_object_that_cannot_be_removed_holds_up_no_other(notes: ObjectNotes, bucket: S3Config) -> None:
    storage = Refusing(bucket)
    for key in ("locked", "b", "c"):
        notes.note(key, keep_s=0)
        stored(storage, key)

    remove_unrecorded(notes, storage)

    assert list(storage.list("")) == ["locked"]
    assert notes.doomed(10) == ["locked"]


def test_storage_that_is_away_ends_the_round_and_nothing_is_forgotten(notes: ObjectNotes, bucket: S3Config) -> None:
    notes.note("away", keep_s=0)

    with pytest.raises(StorageNotReachable):
        remove_unrecorded(notes, Refusing(bucket))

    assert notes.doomed(10) == ["away"]


def test_an_object_is_removed_also_where_unfinished_uploads_must_not_be_listed(
    storage: S3Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> None:
        raise StorageMisconfigured("AccessDenied")

    monkeypatch.setattr(storage, "_remove_parts", forbidden)
    stored(storage, "adapters/one")

    storage.remove("adapters/one")

    assert not list(storage.list("adapters/"))


def test_the_parts_of_an_upload_that_was_cut_off_go_too(
    notes: ObjectNotes, storage: S3Storage, bucket: S3Config
) -> None:
    notes.note("adapters/cut", keep_s=0)
    client = storage._client
    upload = client.create_multipart_upload(Bucket=bucket.bucket, Key="adapters/cut")["UploadId"]
    client.upload_part(Bucket=bucket.bucket, Key="adapters/cut", UploadId=upload, PartNumber=1, Body=io.BytesIO(b"1"))

    remove_unrecorded(notes, storage)

    assert not client.list_multipart_uploads(Bucket=bucket.bucket).get("Uploads")
