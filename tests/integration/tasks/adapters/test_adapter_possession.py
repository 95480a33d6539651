"""Whatever dies, is refused, loses its answer or is late: an entry is there with its file, or neither is there."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from contextlib import suppress

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from storage import StorageError
from tasks.adapters.catalogue.entry import CatalogueAdapter, Entry, Registration
from tasks.adapters.file.identity import AdapterSource
from tasks.adapters.lookup.resolver import Requester
from tasks.adapters.lookup.uploaded import FOLDER, INCOMING, incoming_key
from tasks.errors import StokeholdError
from tasks.objects.notes import NOTED, REMOVING, remove_unrecorded
from tasks.service import Service
from tests.support.interruptions import Kind, interrupted
from tests.support.safetensors_files import lora_bytes

FILES = [lora_bytes(metadata={"stokehold.base_model": "demo", "modelspec.trigger_phrase": word}) for word in ("a", "b")]
NAMES = ("first", "second")
OWNER = None
MAX_CALLS = 24


def send(service: Service, name: str, body: bytes) -> None:
    """Send a file in a form; as a client does, once more where no answer came."""
    with suppress(StorageError):
        service.registrations.register_file(Entry(name=name), io.BytesIO(body), OWNER)
        return
    service.registrations.register_file(Entry(name=name), io.BytesIO(body), OWNER)


def send_directly(service: Service, name: str, body: bytes) -> None:
    """Put a file into storage and register it twice, the second time under another name too."""
    upload = service.registrations.begin_upload(OWNER, sha256=hashlib.sha256(body).hexdigest(), size_bytes=len(body))
    service.storage.put(incoming_key(upload.id), body, content_type="application/octet-stream")
    for wanted in (name, name, f"{name}-again"):
        with suppress(StokeholdError, StorageError):
            service.registrations.register(Registration(name=wanted, upload=upload.id), Requester(OWNER))


def pin(service: Service, name: str, _: bytes) -> None:
    service.catalogue.pin(service.catalogue.get(name, OWNER))


def remove(service: Service, name: str, _: bytes) -> None:
    service.catalogue.remove(service.catalogue.get(name, OWNER))


def send_remove_and_send(service: Service, name: str, body: bytes) -> None:
    """Use a name again."""
    send(service, name, body)
    remove(service, name, body)
    send(service, name, body)


Step = Callable[[Service, str, bytes], None]
STEPS: tuple[Step, ...] = (send, send_directly, pin, remove, send_remove_and_send)


def a_day_passes(service: Service) -> None:
    """Let every note fall due, and retention remove what nothing has taken."""
    service.valkey.zunionstore(NOTED, {NOTED: 0})
    remove_unrecorded(service.object_notes, service.storage)


def entries(service: Service) -> list[CatalogueAdapter]:
    return [entry for entry in service.catalogue.behind("") if entry.found.source is AdapterSource.UPLOAD]


def assert_whole(service: Service) -> None:
    """Each entry has its own file, of the content that it names, and storage holds nothing else."""
    found = {entry.found.object_key or "": entry for entry in entries(service)}
    assert len(found) == len(entries(service))
    assert sorted(found) == list(service.storage.list(FOLDER))
    assert list(service.storage.list(INCOMING)) == []
    for key, entry in found.items():
        assert service.storage.digest(key).sha256 == entry.found.commit
    assert {entry.name for entry in service.catalogue.pinned("demo")} <= {entry.name for entry in found.values()}
    assert not service.valkey.exists(NOTED, REMOVING)


def start_anew(service: Service) -> None:
    service.valkey.flushall()
    for prefix in (FOLDER, INCOMING):
        service.storage.delete(prefix)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(STEPS),
            st.sampled_from(NAMES),
            st.sampled_from(FILES),
            st.sampled_from(Kind),
            st.integers(0, MAX_CALLS),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_an_entry_has_its_file_and_every_file_its_entry(
    service: Service, steps: list[tuple[Step, str, bytes, Kind, int]]
) -> None:
    start_anew(service)
    for step, name, body, kind, at in steps:
        with interrupted(kind, at, lambda: a_day_passes(service)), suppress(StokeholdError, StorageError):
            step(service, name, body)
        a_day_passes(service)
        assert_whole(service)


def test_every_call_of_a_registration_may_be_the_last(service: Service) -> None:
    for kind in Kind:
        for at in range(MAX_CALLS):
            start_anew(service)
            with interrupted(kind, at, lambda: a_day_passes(service)), suppress(StokeholdError, StorageError):
                send_directly(service, "first", FILES[0])
            a_day_passes(service)
            assert_whole(service)
