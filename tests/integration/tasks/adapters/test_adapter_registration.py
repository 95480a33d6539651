"""Registering an adapter asks storage for its header as seldom as possible."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Any

import pytest

from tasks.adapters.catalogue.entry import Entry, Registration
from tasks.adapters.lookup.resolver import Requester
from tasks.adapters.lookup.uploaded import incoming_key
from tasks.celery import Application
from tasks.service import Service
from tests.support.safetensors_files import lora_bytes
from tests.support.services import make_service

BODY = lora_bytes(metadata={"stokehold.base_model": "demo"})


@pytest.fixture
def service(servers: dict[str, Any], tmp_path: Path) -> Service:
    return make_service(tmp_path, **servers)


@pytest.fixture
def ranged_reads(service: Service, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The key of the object, for each part of one that is read."""
    keys: list[str] = []
    get_range = service.storage.get_range

    def counted(key: str, begin: int, end: int) -> bytes:
        keys.append(key)
        return get_range(key, begin, end)

    monkeypatch.setattr(service.storage, "get_range", counted)
    return keys


def test_the_header_of_a_file_that_is_sent_is_read_as_it_comes_in(service: Service, ranged_reads: list[str]) -> None:
    entry = service.registrations.register_file(Entry(name="sent"), io.BytesIO(BODY), None)

    assert (entry.slug, entry.found.base_names) == ("demo", ("demo",))
    assert ranged_reads == []


def test_the_header_of_an_upload_is_read_once(service: Service, ranged_reads: list[str]) -> None:
    upload = service.registrations.begin_upload(None, sha256=hashlib.sha256(BODY).hexdigest(), size_bytes=len(BODY))
    service.storage.put(incoming_key(upload.id), BODY, content_type="application/octet-stream")

    entry = service.registrations.register(Registration(name="sent", upload=upload.id), Requester())

    assert (entry.slug, entry.found.base_names) == ("demo", ("demo",))
    assert ranged_reads == [entry.found.object_key]


def test_another_process_knows_what_the_header_said(service: Service, ranged_reads: list[str]) -> None:
    service.registrations.register_file(Entry(name="sent"), io.BytesIO(BODY), None)

    passport = Application(service.settings).service.resolver.inspect("sent")

    assert passport.base_model == "demo"
    assert ranged_reads == []
