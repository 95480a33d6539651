"""A service of two base models with one local adapter each, on whichever servers a test gives it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from huggingface_hub import HfApi

from tasks.adapters.lookup.addressed import AddressedAdapters
from tasks.adapters.lookup.hub import AdapterHub
from tasks.adapters.lookup.resolver import AdapterResolver
from tasks.adapters.lookup.uploaded import UploadedAdapters
from tasks.adapters.passport.facts import FactsCache
from tasks.adapters.passport.passport import Passports
from tasks.base_models.shapes import ShapeStore
from tasks.celery import Application
from tasks.service import Service
from tasks.settings import Settings
from tests.support.hub import HubServer
from tests.support.safetensors_files import write_lora

MODELS_TOML = """
[[base]]
slug = "demo"
model = "demo/base"
schedulers = ["ddim", "euler"]
defaults = { width = 64, height = 64, steps = 20, guidance_scale = 3.0 }
limits = { min_side = 32, max_side = 128, multiple_of = 16, max_steps = 50, max_clip_skip = 1 }

[[base]]
slug = "sdxl"
model = "stabilityai/stable-diffusion-xl-base-1.0"
defaults = { width = 1024, height = 1024, steps = 25, guidance_scale = 5.0 }
limits = { min_side = 512, max_side = 2048, multiple_of = 8 }
"""

MAX_BYTES = 10**7
"""The largest adapter of a service with a Hub of its own."""
UNREACHABLE = "127.0.0.1:1"
"""An address at which nobody listens."""


def make_service(folder: Path, *, valkey_url: str = f"redis://{UNREACHABLE}/0", **settings: object) -> Service:
    """Write models and adapters below ``folder`` and put a service together; nothing is connected to yet."""
    models_file, loras = folder / "models.toml", folder / "loras"
    models_file.write_text(MODELS_TOML, "utf-8")
    loras.mkdir()
    write_lora(
        loras, "pixel", sidecar='base_model = "demo"\ntrigger_words = ["pixelated"]\ndescription = "large pixels"\n'
    )
    write_lora(loras, "crayon", sidecar='base_model = "sdxl"\n', rank=8)
    s3 = {"s3_endpoint": f"http://{UNREACHABLE}", "s3_access_key": "key", "s3_secret_key": "secret"}
    values = {"valkey_url": valkey_url, "models_file": models_file, "adapter_folders": (loras,), **s3, **settings}
    return Application(Settings.model_validate(values)).service


def with_hub(service: Service, hub: HubServer, *, ttl_s: float = 300) -> Service:
    """The service as another process of it would be, which remembers nothing; its token opens private repositories."""
    shapes, facts = ShapeStore(service.valkey), FactsCache(service.valkey)
    passports = Passports(service.base_models, shapes, facts, max_bytes=MAX_BYTES)
    adapter_hub = AdapterHub(api=HfApi(endpoint=hub.url, token=hub.TOKEN))
    uploads = UploadedAdapters(service.storage)
    find_entry = service.catalogue.find_file
    resolver = AdapterResolver(
        service.adapter_folders,
        adapter_hub,
        find_entry,
        uploads,
        passports,
        ttl_s=ttl_s,
        addressed=AddressedAdapters(service.addressed_files, service.checksums),
    )
    return replace(service, resolver=resolver)
