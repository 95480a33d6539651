"""Passports over HTTP, from a real Hub: what is judged, what is refused, what is fetched, and who may see what."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from safetensors.numpy import save

from api import create_app
from tasks.keys import default_limits
from tasks.service import Service
from tests.support.hub import HubServer
from tests.support.safetensors_files import write_lora
from tests.support.services import MAX_BYTES, with_hub
from tests.support.unet_shapes import SD15, SDXL, unet_lora, unet_shapes

WEIGHTS = "pytorch_lora_weights.safetensors"
XL_MODEL = "stabilityai/stable-diffusion-xl-base-1.0"
Json = dict[str, Any]


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with HubServer() as server:
        yield server


@pytest.fixture
def client(service: Service, hub: HubServer) -> FlaskClient:
    return create_app(with_hub(service, hub)).test_client()


@pytest.fixture
def told(service: Service) -> None:
    """The workers of both base models have told what they look like."""
    service.shapes.publish("demo", unet_shapes(SD15, "demo/base"))
    service.shapes.publish("sdxl", unet_shapes(SDXL, XL_MODEL))


def inspect(client: FlaskClient, ref: str, secret: str = "") -> Json:
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    response = client.post("/v1/adapters/inspect", json={"ref": ref}, headers=headers)
    return {"http": response.status_code, **response.get_json()}


def submit(client: FlaskClient, ref: str, secret: str = "", **fields: object) -> Json:
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    body = {"prompt": "a red circle", "adapters": [{"ref": ref}]} | fields
    response = client.post("/v1/jobs", json=body, headers=headers)
    return {"http": response.status_code, **response.get_json()}


@pytest.mark.usefixtures("told")
class TestTheVerdict:
    def test_what_fits_is_accepted_with_everything_that_its_header_tells(
        self, client: FlaskClient, hub: HubServer
    ) -> None:
        content = unet_lora(SD15, metadata={"modelspec.trigger_phrase": "pxl, art", "ss_network_alpha": "8"})
        commit = hub.add_repository("ada/pixel", {WEIGHTS: content}, base_model="demo/base")

        passport = inspect(client, "ada/pixel")

        assert len(passport.pop("sha256")) == 64
        assert passport == {
            "http": HTTPStatus.OK,
            "ref": "ada/pixel",
            "verdict": "accepted",
            "reason": "5 of its layers fit.",
            "base_model": "demo",
            "fits": ["demo"],
            "card_base_models": ["demo/base"],
            "family": "SD 1.5",
            "format": "diffusers",
            "parts": ["denoiser"],
            "ranks": [4],
            "alphas": [8.0],
            "matched": 5,
            "unmatched": 0,
            "unmatched_keys": [],
            "trigger_words": ["pxl", "art"],
            "size_bytes": len(content),
            "source": "hub",
            "repository": "ada/pixel",
            "commit": commit,
            "weight_name": WEIGHTS,
            "warnings": [],
        }
        assert submit(client, "ada/pixel", prompt="pxl, art of a red circle")["warnings"] == []
        (warning,) = submit(client, "ada/pixel", prompt="art of a pxls")["warnings"]
        assert "Trigger words that the prompt does not hold: 'pxl'." in warning

    def test_the_choice_among_several_files_and_embeddings_that_are_left_stand_in_the_warnings(
        self, client: FlaskClient, hub: HubServer
    ) -> None:
        content = unet_lora(SD15)
        files = dict.fromkeys(
            ("pixel.safetensors", "checkpoint-500/pixel.safetensors", "pixel_emb.safetensors"), content
        )
        hub.add_repository("ada/pixel", files, base_model="demo/base")

        passport = inspect(client, "ada/pixel")

        chosen, left = passport["warnings"]
        assert (passport["verdict"], passport["weight_name"]) == ("accepted", "pixel.safetensors")
        assert "pixel.safetensors is used; the others: checkpoint-500/pixel.safetensors" in chosen
        assert "learned embeddings, which are not loaded: pixel_emb.safetensors" in left
        assert submit(client, "ada/pixel")["warnings"] == [f"ada/pixel: {text}" for text in (chosen, left)]

    def test_what_was_made_for_another_family_is_rejected_with_the_module_and_both_numbers(
        self, client: FlaskClient, hub: HubServer, service: Service
    ) -> None:
        service.shapes.publish("sdxl", unet_shapes(1024, XL_MODEL))
        hub.add_repository("ada/xl", {WEIGHTS: unet_lora(SDXL)}, base_model="demo/base")

        passport = inspect(client, "ada/xl")
        refused = submit(client, "ada/xl")

        reason = (
            "Made for SDXL: its `unet.down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k` takes 2048 inputs, "
            "this base has 768."
        )
        assert (passport["http"], passport["verdict"], passport["reason"]) == (200, "rejected", reason)
        assert refused["http"] == HTTPStatus.UNPROCESSABLE_ENTITY
        assert refused["type"] == "urn:stokehold:problem:adapter_not_usable"
        assert refused["errors"] == [
            {"field": "adapters.0.ref", "reason": f"ada/xl cannot be used with this service. {reason}"}
        ]

    def test_a_file_without_low_rank_factors_is_rejected_whatever_its_tags(
        self, client: FlaskClient, hub: HubServer
    ) -> None:
        content = save({"model.embed.weight": np.zeros((8, 8), np.float32)})
        hub.add_repository("ada/model", {WEIGHTS: content}, base_model="demo/base")

        passport = inspect(client, "ada/model")

        assert (passport["verdict"], passport["format"]) == ("rejected", None)
        assert "It is not a LoRA" in submit(client, "ada/model")["detail"]

    def test_a_file_that_is_no_safetensors_file_is_rejected(self, client: FlaskClient, hub: HubServer) -> None:
        for name, content in {"short": b"PK", "pickle": b"\x80\x04" * 40, "cut": unet_lora(SD15)[:2000]}.items():
            hub.add_repository(f"ada/{name}", {WEIGHTS: content}, base_model="demo/base")

            passport = inspect(client, f"ada/{name}")

            assert passport["verdict"] == "rejected"
            assert "not a complete safetensors file" in passport["reason"]

    def test_a_file_that_is_too_large_is_rejected_unread(self, client: FlaskClient, hub: HubServer) -> None:
        hub.add_repository("ada/huge", {WEIGHTS: bytes(MAX_BYTES + 1)}, base_model="demo/base")

        assert f"takes at most {MAX_BYTES}" in inspect(client, "ada/huge")["reason"]
        assert hub.count("GET", "/resolve/") == 0

    def test_a_missing_tag_is_a_warning_where_the_file_is_plainly_a_lora(
        self, client: FlaskClient, hub: HubServer
    ) -> None:
        hub.add_repository("ada/pixel", {WEIGHTS: unet_lora(SD15)}, base_model="demo/base", tags=[])

        job = submit(client, "ada/pixel")

        assert job["warnings"] == ["ada/pixel: ada/pixel lacks the tag 'lora', and its file is one."]

    def test_a_verdict_changes_with_the_base_model(self, client: FlaskClient, hub: HubServer, service: Service) -> None:
        hub.add_repository("ada/pixel", {WEIGHTS: unet_lora(SD15)}, base_model="demo/base")
        before = inspect(client, "ada/pixel")

        service.shapes.publish("demo", unet_shapes(1024, "demo/base"))
        after = inspect(create_app(with_hub(service, hub)).test_client(), "ada/pixel")

        assert (before["verdict"], after["verdict"]) == ("accepted", "rejected")
        assert hub.count("GET", "/resolve/") == 1

    def test_a_local_adapter_has_one_too(self, client: FlaskClient, service: Service) -> None:
        (folder,) = service.settings.adapter_folders
        path = write_lora(folder, "wide", sidecar='base_model = "demo"')
        path.write_bytes(unet_lora(SDXL))

        passport = inspect(client, "wide")

        assert (passport["verdict"], passport["source"]) == ("accepted", "folder")
        assert (passport["base_model"], passport["card_base_models"]) == ("sdxl", ["demo"])


class TestWithoutShapes:
    def test_the_card_alone_decides_and_the_record_says_that_nothing_is_certain(
        self, client: FlaskClient, hub: HubServer
    ) -> None:
        hub.add_repository("ada/pixel", {WEIGHTS: unet_lora(SD15)}, base_model="demo/base")

        passport, job = inspect(client, "ada/pixel"), submit(client, "ada/pixel")

        assert (passport["verdict"], passport["base_model"]) == ("unknown", "demo")
        assert (job["http"], job["base_model"]) == (HTTPStatus.ACCEPTED, "demo")
        assert job["warnings"] == [
            "ada/pixel: It may not work: no worker has reported the layers of this base model yet."
        ]

    @pytest.mark.parametrize("base_model", [None, "black-forest-labs/FLUX.1-dev"])
    def test_a_card_that_names_none_that_is_served_is_refused(
        self, client: FlaskClient, hub: HubServer, base_model: str | None
    ) -> None:
        hub.add_repository("ada/pixel", {WEIGHTS: unet_lora(SD15)}, base_model=base_model)

        refused = submit(client, "ada/pixel")

        assert refused["http"] == HTTPStatus.UNPROCESSABLE_ENTITY
        assert (base_model or "names no base_model") in refused["detail"]
        assert "these base models are served: demo, sdxl" in refused["detail"]

    def test_what_was_told_of_another_model_under_the_same_slug_does_not_count(
        self, client: FlaskClient, hub: HubServer, service: Service
    ) -> None:
        service.shapes.publish("demo", unet_shapes(1024, "the/former-model"))
        hub.add_repository("ada/pixel", {WEIGHTS: unet_lora(SD15)}, base_model="demo/base")

        assert inspect(client, "ada/pixel")["verdict"] == "unknown"


@pytest.mark.usefixtures("told")
class TestTheRoute:
    @pytest.mark.parametrize("base_model", ["demo/base", "some/model", None])
    def test_a_card_that_is_wrong_elsewhere_or_silent_does_not_block_a_file_that_fits(
        self, client: FlaskClient, hub: HubServer, base_model: str | None
    ) -> None:
        hub.add_repository("ada/xl", {WEIGHTS: unet_lora(SDXL)}, base_model=base_model)

        job = submit(client, "ada/xl")

        assert (job["http"], job["base_model"]) == (HTTPStatus.ACCEPTED, "sdxl")
        (warning,) = job["warnings"]
        assert warning.endswith("it fits 'sdxl', which is used.")

    def test_a_file_that_fits_several_waits_for_the_request_to_name_one(
        self, client: FlaskClient, hub: HubServer, service: Service
    ) -> None:
        service.shapes.publish("sdxl", unet_shapes(SD15, XL_MODEL))
        hub.add_repository("ada/pixel", {WEIGHTS: unet_lora(SD15)})

        passport = inspect(client, "ada/pixel")

        assert (passport["base_model"], passport["fits"]) == (None, ["demo", "sdxl"])
        assert "name one in base_model" in submit(client, "ada/pixel")["detail"]
        assert submit(client, "ada/pixel", base_model="sdxl")["base_model"] == "sdxl"

    def test_a_request_may_ask_for_another_base_than_the_card_s_where_the_file_fits_it(
        self, client: FlaskClient, hub: HubServer, service: Service
    ) -> None:
        service.shapes.publish("sdxl", unet_shapes(SD15, XL_MODEL))
        hub.add_repository("ada/pixel", {WEIGHTS: unet_lora(SD15)}, base_model="demo/base")

        assert submit(client, "ada/pixel")["base_model"] == "demo"
        assert submit(client, "ada/pixel", base_model="sdxl")["base_model"] == "sdxl"


@pytest.mark.usefixtures("told")
class TestWhatIsFetched:
    CONTENT = unet_lora(SD15, rank=128)

    def test_nothing_but_the_beginning_of_the_file_is_asked_for(self, client: FlaskClient, hub: HubServer) -> None:
        assert len(self.CONTENT) > 500_000
        hub.add_repository("ada/large", {WEIGHTS: self.CONTENT}, base_model="demo/base")

        assert inspect(client, "ada/large")["verdict"] == "accepted"

        asked = [request for request in hub.requests if "/resolve/" in request.path]
        assert [(request.method, request.byte_range) for request in asked] == [("GET", "bytes=0-99999")]

    def test_a_header_is_read_once_for_each_commit_by_all_processes_together(
        self, client: FlaskClient, service: Service, hub: HubServer
    ) -> None:
        hub.add_repository("ada/large", {WEIGHTS: self.CONTENT}, base_model="demo/base")
        others = [create_app(with_hub(service, hub, ttl_s=0)).test_client() for _ in range(2)]

        first = [inspect(one, "ada/large") for one in (client, *others)]
        hub.push("ada/large", {WEIGHTS: unet_lora(SD15, rank=8)})
        second = [inspect(one, "ada/large") for one in others]

        assert [passport["ranks"] for passport in (*first, *second)] == [[128]] * 3 + [[8]] * 2
        assert hub.count("GET", "/resolve/") == 2

    def test_what_is_remembered_expires(self, client: FlaskClient, service: Service, hub: HubServer) -> None:
        hub.add_repository("ada/large", {WEIGHTS: self.CONTENT}, base_model="demo/base")
        inspect(client, "ada/large")

        (key,) = service.valkey.keys("stokehold:header:*")
        assert service.valkey.ttl(key) > 0
        assert service.valkey.ttl("stokehold:shapes:demo") > 0


@pytest.mark.usefixtures("told")
class TestPrivateAndGated:
    @pytest.fixture
    def secrets(self, service: Service) -> tuple[str, str]:
        """Of a key that may use private repositories, and of one that may not."""
        limits = default_limits(service.settings)
        allowed = service.keys.create("ada", limits, allow_private=True)[1]
        return allowed, service.keys.create("bob", limits)[1]

    @pytest.fixture(autouse=True)
    def repositories(self, hub: HubServer) -> None:
        hub.add_repository("ada/secret", {WEIGHTS: unet_lora(SD15)}, base_model="demo/base", private=True)
        hub.add_repository("ada/gated", {WEIGHTS: unet_lora(SD15)}, base_model="demo/base", gated="manual")

    def test_a_key_that_is_set_for_it_may_use_a_private_repository_and_no_other_learns_of_it(
        self, client: FlaskClient, secrets: tuple[str, str]
    ) -> None:
        allowed, other = secrets

        assert inspect(client, "ada/secret", allowed)["verdict"] == "accepted"
        assert submit(client, "ada/secret", allowed)["http"] == HTTPStatus.ACCEPTED

        for ask in (inspect, submit):
            private, missing = (ask(client, ref, other) for ref in ("ada/secret", "ada/nothing"))
            assert private["http"] == HTTPStatus.UNPROCESSABLE_ENTITY
            assert str(private).replace("secret", "nothing") == str(missing)

    def test_a_refusal_of_one_does_not_stand_in_the_way_of_the_other(
        self, client: FlaskClient, secrets: tuple[str, str]
    ) -> None:
        allowed, other = secrets

        assert inspect(client, "ada/secret", other)["http"] == HTTPStatus.UNPROCESSABLE_ENTITY
        assert inspect(client, "ada/secret", allowed)["http"] == HTTPStatus.OK

    def test_a_revoked_permission_counts_at_once(
        self, client: FlaskClient, service: Service, secrets: tuple[str, str]
    ) -> None:
        allowed, _ = secrets
        key = service.keys.find(allowed)
        assert key is not None
        job = submit(client, "ada/secret", allowed)

        service.keys.revoke(key.id)

        assert job["http"] == HTTPStatus.ACCEPTED
        assert submit(client, "ada/secret", allowed)["http"] == HTTPStatus.UNAUTHORIZED
        assert not service.keys.allow_private(key.id)

    def test_without_keys_it_is_not_allowed(self, client: FlaskClient) -> None:
        assert "no public repository" in submit(client, "ada/secret")["detail"]
        assert "is gated" in submit(client, "ada/gated")["detail"]

    def test_a_gated_repository_is_refused_where_the_token_does_not_open_it_either(
        self, client: FlaskClient, secrets: tuple[str, str]
    ) -> None:
        allowed, other = secrets

        assert inspect(client, "ada/gated", other)["http"] == HTTPStatus.UNPROCESSABLE_ENTITY
        assert inspect(client, "ada/gated", allowed)["verdict"] == "rejected"
        assert "gated" in submit(client, "ada/gated", allowed)["detail"]


@pytest.mark.parametrize(
    ("ref", "kind"),
    [
        ("Not A Reference", "invalid_request"),
        ("missing", "adapter_not_found"),
        ("ada/missing", "adapter_not_found"),
    ],
)
def test_a_reference_to_nothing_is_a_problem_with_its_field(client: FlaskClient, ref: str, kind: str) -> None:
    problem = inspect(client, ref)

    assert (problem["http"], problem["type"]) == (422, f"urn:stokehold:problem:{kind}")
    assert problem["errors"][0]["field"] == "ref"


def test_a_hub_that_is_away_is_a_503(client: FlaskClient, hub: HubServer) -> None:
    hub.fail(503)

    problem = inspect(client, "ada/pixel")

    assert (problem["http"], problem["type"]) == (503, "urn:stokehold:problem:hub_unavailable")
