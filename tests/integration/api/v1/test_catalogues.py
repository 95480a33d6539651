"""``GET /v1/models``, ``GET /v1/adapters`` and the page made of them."""

from __future__ import annotations

from collections.abc import Callable

from flask.testing import FlaskClient

from tasks.lanes.worker_registry import MergedAdapter, WorkerMemory, WorkerNote
from tasks.service import Service
from tests.support.safetensors_files import write_lora


def test_the_base_models_are_listed_with_what_may_be_asked_of_them(client: FlaskClient) -> None:
    demo, sdxl = client.get("/v1/models").get_json()["models"]

    assert demo == {
        "slug": "demo",
        "model": "demo/base",
        "aliases": [],
        "defaults": {"width": 64, "height": 64, "steps": 20, "guidance_scale": 3.0},
        "limits": {
            "min_side": 32,
            "max_side": 128,
            "multiple_of": 16,
            "max_steps": 50,
            "max_adapters": 4,
            "max_clip_skip": 1,
        },
        "schedulers": ["ddim", "euler"],
        "queue_length": 0,
        "workers": [],
    }
    assert sdxl["slug"] == "sdxl"


def test_a_base_model_shows_its_queue(client: FlaskClient, submit: Callable[..., str]) -> None:
    submit()
    submit()

    demo, sdxl = client.get("/v1/models").get_json()["models"]

    assert (demo["queue_length"], sdxl["queue_length"]) == (2, 0)


def test_a_base_model_shows_its_workers_and_what_they_have_merged(client: FlaskClient, service: Service) -> None:
    note = WorkerNote(
        name="worker-1",
        base_model="sdxl",
        device="cuda:0",
        memory=WorkerMemory(weights=100, pristine=50, adapters=10),
        merged=(MergedAdapter(ref="crayon", scale=0.5),),
    )
    service.workers.note(note)

    demo, sdxl = client.get("/v1/models").get_json()["models"]

    assert demo["workers"] == []
    assert sdxl["workers"] == [
        {
            "record_version": 1,
            "name": "worker-1",
            "base_model": "sdxl",
            "device": "cuda:0",
            "memory": {"weights": 100, "pristine": 50, "adapters": 10},
            "reloads": 0,
            "merged": [{"ref": "crayon", "scale": 0.5}],
            "unhealthy": None,
        }
    ]


def test_the_adapters_of_the_catalogue_are_listed(client: FlaskClient, service: Service) -> None:
    crayon, pixel = client.get("/v1/adapters").get_json()["adapters"]

    assert crayon["name"] == "crayon"
    assert pixel.pop("size_bytes") > 0
    assert pixel == {
        "name": "pixel",
        "title": "pixel",
        "sha256": None,
        "base_model": "demo",
        "rank": 4,
        "trigger_words": ["pixelated"],
        "description": "large pixels",
        "source": "folder",
        "tags": [],
        "default_scale": 1.0,
        "sample_image": None,
        "licence": None,
        "mine": False,
        "shared": True,
        "pinned": False,
        "created_at": None,
    }


def test_the_page_asks_for_the_adapters_and_asks_no_other_host(client: FlaskClient) -> None:
    page, script = client.get("/"), client.get("/static/page.js", buffered=True)

    assert page.content_type == "text/html; charset=utf-8"
    assert "v1/adapters" in script.text
    assert "//" not in page.text.replace("<!--", "")


def test_files_that_are_left_out_stand_on_the_pages_with_their_reasons(client: FlaskClient, service: Service) -> None:
    (folder,) = service.settings.adapter_folders
    (folder / "My Broken.safetensors").write_bytes(b"not a header")
    (folder / "old.ckpt").write_bytes(b"a pickle")

    pages = [client.get("/v1/adapters?limit=2").get_json()]
    pages.append(client.get(f"/v1/adapters?limit=2&after={pages[0]['next_after']}").get_json())

    assert [[one["name"] for one in page["adapters"]] for page in pages] == [["crayon"], ["pixel"]]
    (broken,), (old,) = (page["left_out"] for page in pages)
    assert (broken["name"], broken["file"]) == ("my-broken", "My Broken.safetensors")
    assert broken["reason"].startswith("My Broken.safetensors is not a complete safetensors file: ")
    assert (old["file"], "Convert it to safetensors" in old["reason"]) == ("old.ckpt", True)
    assert pages[1]["next_after"] is None

    refused = client.post("/v1/jobs", json={"prompt": "a dog", "adapters": [{"ref": "my-broken"}]}).get_json()
    assert broken["reason"] in refused["detail"]


def test_a_search_finds_titles_and_what_is_left_out(client: FlaskClient, service: Service) -> None:
    (folder,) = service.settings.adapter_folders
    write_lora(folder, "水彩", sidecar='base_model = "demo"\n')
    (folder / "水.ckpt").write_bytes(b"a pickle")

    found = client.get("/v1/adapters?q=水").get_json()
    assert [one["name"] for one in found["adapters"]] == ["shuicai"]
    assert [one["file"] for one in found["left_out"]] == ["水.ckpt"]

    of_a_base = client.get("/v1/adapters?q=水&base=demo").get_json()
    assert [len(of_a_base[part]) for part in ("adapters", "left_out")] == [1, 0]
