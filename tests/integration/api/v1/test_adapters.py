"""The catalogue over HTTP."""

from __future__ import annotations

import hashlib
import io
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api import create_app
from api.http.multipart import CHUNK, MAX_UNREAD_BYTES
from tasks.adapters.lookup.uploaded import incoming_key
from tasks.keys import KeyLimits
from tasks.objects.notes import NOTED, remove_unrecorded
from tasks.service import Service
from tests.support.hub import HubServer
from tests.support.safetensors_files import lora_bytes
from tests.support.services import with_hub

FILE = lora_bytes(metadata={"stokehold.base_model": "demo", "modelspec.trigger_phrase": "pxl"})
OTHER_FILE = lora_bytes(metadata={"stokehold.base_model": "demo", "modelspec.trigger_phrase": "other"})
FILES = {"pytorch_lora_weights.safetensors": FILE}
LIMITS = KeyLimits(requests_per_minute=600, queued_jobs=10, pixel_steps_per_day=10**9)
Send = Callable[..., TestResponse]


@pytest.fixture(scope="module")
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        server.add_repository("ada/pixel", FILES, base_model="demo/base")
        server.add_repository("ada/secret", FILES, base_model="demo/base", private=True)
        yield server


@pytest.fixture
def service(service: Service, hub: HubServer) -> Service:
    return with_hub(service, hub)


@pytest.fixture
def client(service: Service) -> FlaskClient:
    return create_app(service).test_client()


@pytest.fixture
def send(client: FlaskClient) -> Send:
    """Sends a file with its entry, as a form."""

    def send(
        name: str = "mine", body: bytes = FILE, headers: dict[str, str] | None = None, **entry: Any
    ) -> TestResponse:
        form = {"entry": json.dumps({"name": name, **entry}), "file": (io.BytesIO(body), "file.safetensors")}
        return client.post("/v1/adapters", data=form, content_type="multipart/form-data", headers=headers)

    return send


class Endless(io.RawIOBase):
    """A body that goes on for ever.

    Attributes:
        given: how many bytes of it were read.
    """

    def __init__(self, beginning: bytes, filler: bytes) -> None:
        self._beginning, self._filler = beginning, filler
        self.given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = (self._beginning + self._filler * len(buffer))[: len(buffer)]
        self._beginning = b""
        buffer[: len(part)] = part
        self.given += len(part)
        return len(part)


def stored(service: Service) -> list[str]:
    return list(service.storage.list("adapters/"))


def let_time_pass(service: Service) -> None:
    """Let every note of an object fall due."""
    service.valkey.zunionstore(NOTED, {NOTED: 0})


def names(client: FlaskClient, query: str = "", **headers: str) -> list[str]:
    return [one["name"] for one in client.get(f"/v1/adapters{query}", headers=headers).get_json()["adapters"]]


def begun(client: FlaskClient, body: bytes) -> dict[str, Any]:
    """An upload that says truly what it will be."""
    wanted = {"sha256": hashlib.sha256(body).hexdigest(), "size_bytes": len(body)}
    answered = client.post("/v1/adapters/uploads", json=wanted).get_json()
    assert isinstance(answered, dict)
    return answered


def put(upload: dict[str, Any], body: bytes) -> None:
    """Send the file of an upload."""
    request = urllib.request.Request(upload["url"], data=body, method="PUT", headers=upload["headers"])
    with urllib.request.urlopen(request):
        pass


def bearer(service: Service, name: str, *, allow_private: bool = False) -> dict[str, str]:
    _, secret = service.keys.create(name, LIMITS, allow_private=allow_private)
    return {"Authorization": f"Bearer {secret}"}


class TestSendingAFile:
    def test_it_is_stored_and_in_the_catalogue(self, client: FlaskClient, send: Send, service: Service) -> None:
        answered = send(description="Coarse pixels", tags=["style"], default_scale=0.5)

        assert answered.status_code == 201, answered.text
        record = client.get(answered.headers["Location"]).get_json()
        assert (record["name"], record["source"], record["base_model"]) == ("mine", "upload", "demo")
        assert record["sha256"] == hashlib.sha256(FILE).hexdigest()
        assert record["trigger_words"] == ["pxl"]
        assert record["passport"]["verdict"] in ("accepted", "unknown")
        assert [service.storage.get(key) for key in stored(service)] == [FILE]

    def test_its_sample_image_and_licence_are_shown(self, client: FlaskClient, send: Send) -> None:
        shown = {"sample_image": "https://example.com/sample.png", "licence": "Apache-2.0"}
        assert send(**shown).status_code == 201

        listed = client.get("/v1/adapters?q=mine").get_json()["adapters"]

        assert [{name: record[name] for name in shown} for record in listed] == [shown]
        assert client.get("/v1/adapters/mine").get_json() | shown == client.get("/v1/adapters/mine").get_json()

    def test_a_job_uses_it_at_its_own_scale(self, client: FlaskClient, send: Send, service: Service) -> None:
        send(default_scale=0.5)

        own, asked = (
            service.store.get(client.post("/v1/jobs", json={"prompt": "a", "adapters": [adapter]}).get_json()["id"])
            for adapter in ({"ref": "mine"}, {"ref": "mine", "scale": 2})
        )

        assert own.spec.adapters[0].adapter.commit == hashlib.sha256(FILE).hexdigest()
        assert (own.spec.adapters[0].scale, asked.spec.adapters[0].scale) == (0.5, 2)

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b"", "too short"),
            (b"\x80\x02}q\x00." * 20, "its header would have"),
            (FILE[:-1], "cut off"),
            (FILE + b"x", "belong to no tensor"),
            (FILE[:40], "cut off"),
        ],
        ids=["empty", "a pickle", "without its end", "with something behind it", "without its header"],
    )
    def test_what_is_no_whole_file_leaves_nothing(
        self, client: FlaskClient, send: Send, service: Service, body: bytes, reason: str
    ) -> None:
        answered = send(body=body)

        assert answered.status_code == 422
        assert reason in answered.get_json()["detail"]
        assert stored(service) == []
        assert "mine" not in names(client)

    def test_a_file_that_is_too_large_leaves_nothing(self, service: Service) -> None:
        settings = service.settings.model_copy(update={"adapter_max_bytes": len(FILE) - 1})
        object.__setattr__(service, "settings", settings)
        form = {"entry": json.dumps({"name": "mine"}), "file": (io.BytesIO(FILE), "f")}

        answered = create_app(service).test_client().post("/v1/adapters", data=form, content_type="multipart/form-data")

        assert answered.status_code == 422
        assert stored(service) == []

    def test_a_name_that_is_taken_is_refused_before_the_file_is_read(self, send: Send, service: Service) -> None:
        ada, bob = bearer(service, "ada"), bearer(service, "bob")
        send(headers=ada)

        answers = [send(headers=bob), send("pixel", headers=bob), send(headers=ada, description="another")]

        assert [answered.status_code for answered in answers] == [409, 409, 409]
        assert len(stored(service)) == 1

    def test_the_same_file_sent_again_gives_the_same_entry(self, send: Send, service: Service) -> None:
        first, again, another = send(), send(), send(body=OTHER_FILE)

        assert (first.status_code, again.status_code, another.status_code) == (201, 201, 409)
        assert first.get_json() == again.get_json()
        assert len(stored(service)) == 1

    def test_a_form_without_its_parts_is_refused(self, client: FlaskClient) -> None:
        for form in ({}, {"file": (io.BytesIO(FILE), "f")}, {"entry": "{}"}):
            answered = client.post("/v1/adapters", data=form, content_type="multipart/form-data")
            assert answered.status_code == 400

    @pytest.mark.parametrize(
        "beginning",
        [b"", b'--B\r\nContent-Disposition: form-data; name="entry"\r\nX-A: ', b"--B" + b" " * 1_000, b"\r\n--B\r\n"],
        ids=["preamble", "part header", "boundary", "part header's name"],
    )
    @pytest.mark.parametrize("filler", [b"a", b"\r\na: b", b"\r\n--", b" "])
    def test_a_form_that_begins_no_part_is_read_no_further_than_its_bound(
        self, client: FlaskClient, beginning: bytes, filler: bytes
    ) -> None:
        body = Endless(beginning, filler)

        answered = client.post(
            "/v1/adapters",
            content_type="multipart/form-data; boundary=B",
            environ_overrides={"wsgi.input": body, "CONTENT_LENGTH": str(300 << 20)},
        )

        assert answered.status_code in (400, 413)
        assert body.given <= MAX_UNREAD_BYTES + 2 * CHUNK

    def test_a_boundary_is_bounded(self, client: FlaskClient) -> None:
        content_type = f"multipart/form-data; boundary={'B' * 71}"

        answered = client.post("/v1/adapters", data=b"", content_type=content_type)

        assert answered.status_code == 400

    def test_a_wrong_entry_is_refused_by_field(self, send: Send, service: Service) -> None:
        answered = send("Not A Name", default_scale=100)

        assert answered.status_code == 422
        assert {error["field"] for error in answered.get_json()["errors"]} == {"name", "default_scale"}
        assert stored(service) == []


class TestRegistering:
    def test_an_adapter_on_the_hub_is_pinned_to_its_commit(self, client: FlaskClient) -> None:
        answered = client.post("/v1/adapters", json={"name": "ours", "ref": "ada/pixel", "shared": True})

        record = client.get(answered.headers["Location"]).get_json()
        assert (answered.status_code, record["source"], record["shared"]) == (201, "hub", True)
        assert record["passport"]["repository"] == "ada/pixel"

    def test_a_file_that_went_to_storage_directly(self, client: FlaskClient, service: Service) -> None:
        upload = begun(client, FILE)
        early = client.post("/v1/adapters", json={"name": "mine", "upload": upload["id"]})
        put(upload, FILE)
        answered = client.post("/v1/adapters", json={"name": "mine", "upload": upload["id"]})

        assert (early.status_code, answered.status_code) == (422, 201)
        assert answered.get_json()["sha256"] == hashlib.sha256(FILE).hexdigest()
        assert list(service.storage.list("")) == stored(service)

    def test_a_checksum_that_is_claimed_and_not_shown_names_nothing(
        self, client: FlaskClient, send: Send, service: Service
    ) -> None:
        send("victims")
        other = OTHER_FILE.ljust(len(FILE))[: len(FILE)]
        upload = begun(client, FILE)
        put(upload, other)

        answered = client.post("/v1/adapters", json={"name": "mine", "upload": upload["id"]})

        assert answered.status_code == 422
        assert hashlib.sha256(other).hexdigest() in answered.get_json()["detail"]
        remove_unrecorded(service.object_notes, service.storage)
        assert list(service.storage.list("")) == stored(service)
        assert names(client) == ["crayon", "pixel", "victims"]

    def test_a_file_of_another_size_than_announced_is_refused_by_storage(self, client: FlaskClient) -> None:
        upload = client.post("/v1/adapters/uploads", json={"sha256": "0" * 64, "size_bytes": 1}).get_json()

        with pytest.raises(urllib.error.HTTPError, match="403") as refused:
            put(upload, FILE)
        refused.value.close()

    def test_a_file_of_another_size_is_removed_where_storage_took_it(
        self, client: FlaskClient, service: Service
    ) -> None:
        upload = client.post("/v1/adapters/uploads", json={"sha256": "0" * 64, "size_bytes": 1}).get_json()
        service.storage.put(incoming_key(upload["id"]), FILE, content_type="application/octet-stream")

        answered = client.post("/v1/adapters", json={"name": "mine", "upload": upload["id"]})

        assert answered.status_code == 422
        assert list(service.storage.list("")) == []

    def test_a_file_that_is_replaced_after_it_was_judged_changes_nothing(
        self, client: FlaskClient, service: Service
    ) -> None:
        upload = begun(client, FILE)
        put(upload, FILE)
        client.post("/v1/adapters", json={"name": "mine", "upload": upload["id"]})

        put(upload, OTHER_FILE.ljust(len(FILE))[: len(FILE)])

        assert [service.storage.get(key) for key in stored(service)] == [FILE]
        let_time_pass(service)
        remove_unrecorded(service.object_notes, service.storage)
        assert list(service.storage.list("")) == stored(service)

    def test_an_upload_is_registered_once(self, client: FlaskClient, service: Service) -> None:
        upload = begun(client, FILE)
        put(upload, FILE)
        entry = {"name": "mine", "upload": upload["id"]}

        first, again = client.post("/v1/adapters", json=entry), client.post("/v1/adapters", json=entry)
        other = client.post("/v1/adapters", json={**entry, "name": "other"})

        assert (first.status_code, again.status_code, other.status_code) == (201, 201, 422)
        assert first.get_json() == again.get_json()
        assert len(stored(service)) == 1

    @pytest.mark.parametrize(
        "entry",
        [
            {"name": "mine"},
            {"name": "mine", "ref": "ada/nothing"},
            {"name": "mine", "ref": "pixel"},
            {"name": "mine", "upload": "nothing"},
            {"name": "mine", "ref": "ada/pixel", "upload": "both"},
            {"name": "..", "ref": "ada/pixel"},
            {"name": "mine", "ref": "ada/secret"},
        ],
    )
    def test_what_cannot_be_registered_is_refused(self, client: FlaskClient, entry: dict[str, str]) -> None:
        assert client.post("/v1/adapters", json=entry).status_code == 422
        assert "mine" not in names(client)

    def test_a_private_adapter_is_not_shared(self, client: FlaskClient, service: Service) -> None:
        allowed = bearer(service, "studio", allow_private=True)

        shared, own = (
            client.post("/v1/adapters", json={"name": name, "ref": "ada/secret", "shared": shared}, headers=allowed)
            for name, shared in (("theirs", True), ("own", False))
        )

        assert (shared.status_code, own.status_code) == (422, 201)


class TestTheCatalogue:
    def test_it_is_searched_and_paged(self, client: FlaskClient, send: Send) -> None:
        send("beta", description="Neon at night", tags=["light"])
        send("alpha")

        page = client.get("/v1/adapters?limit=2").get_json()

        assert [one["name"] for one in page["adapters"]] == ["alpha", "beta"]
        assert names(client, f"?after={page['next_after']}") == ["crayon", "pixel"]
        assert names(client, "?q=NIGHT neon") == ["beta"]
        assert names(client, "?tag=light") == ["beta"]
        assert names(client, "?base=sdxl") == ["crayon"]

    def test_an_entry_is_its_owners_alone_unless_it_is_shared(
        self, client: FlaskClient, send: Send, service: Service
    ) -> None:
        ada, bob = bearer(service, "ada"), bearer(service, "bob")
        send("own", headers=ada)
        send("shared", headers=ada, shared=True)

        assert names(client, **bob) == ["crayon", "pixel", "shared"]
        assert client.get("/v1/adapters/own", headers=bob).status_code == 404
        assert client.delete("/v1/adapters/own", headers=bob).status_code == 404
        assert client.delete("/v1/adapters/shared", headers=bob).status_code == 409
        for name, status in (("own", 422), ("shared", 202)):
            body = {"prompt": "a", "adapters": [{"ref": name}]}
            assert client.post("/v1/jobs", json=body, headers=bob).status_code == status

    def test_what_is_removed_is_gone_and_its_file_a_day_later(
        self, client: FlaskClient, send: Send, service: Service
    ) -> None:
        send()

        removed = client.delete("/v1/adapters/mine")
        remove_unrecorded(service.object_notes, service.storage)
        kept = stored(service)
        let_time_pass(service)
        remove_unrecorded(service.object_notes, service.storage)

        assert removed.status_code == 204
        assert names(client) == ["crayon", "pixel"]
        assert (len(kept), stored(service)) == (1, [])

    def test_a_file_of_a_folder_is_the_operators(self, client: FlaskClient) -> None:
        assert client.delete("/v1/adapters/pixel").status_code == 409
        assert client.post("/v1/adapters/pixel/pin").status_code == 409

    def test_a_pin_is_bounded_by_the_workers_memory(self, client: FlaskClient, send: Send, service: Service) -> None:
        send()
        object.__setattr__(service.catalogue, "_pinned_bytes", len(FILE))

        pinned = client.post("/v1/adapters/mine/pin")
        send("other")
        too_many = client.post("/v1/adapters/other/pin")
        unpinned = client.delete("/v1/adapters/mine/pin")

        assert (pinned.status_code, pinned.get_json()["pinned"]) == (200, True)
        assert too_many.status_code == 409
        assert unpinned.get_json()["pinned"] is False
        assert service.catalogue.pinned("demo") == []

    def test_what_jobs_want_is_noted(self, service: Service, submit: Callable[..., str]) -> None:
        submit(adapters=[{"ref": "pixel"}])

        assert [adapter.repository for adapter in service.catalogue.used("demo")] == ["pixel"]


@pytest.mark.parametrize("size", [True, "7", 7.5, 0, None])
def test_a_size_that_is_no_number_of_bytes_is_refused(client: FlaskClient, size: object) -> None:
    refused = client.post("/v1/adapters/uploads", json={"sha256": "0" * 64, "size_bytes": size})

    assert refused.status_code == 422
    assert refused.get_json()["errors"][0]["field"] == "size_bytes"


@pytest.mark.parametrize("wrong", [{"default_scale": True}, {"default_scale": "1"}, {"shared": 1}, {"shared": "yes"}])
def test_an_entry_takes_json_numbers_and_booleans_alone(client: FlaskClient, wrong: dict[str, object]) -> None:
    refused = client.post("/v1/adapters", json={"name": "ours", "ref": "owner/name", **wrong})

    assert refused.status_code == 422
    assert [error["field"] for error in refused.get_json()["errors"]] == list(wrong)
