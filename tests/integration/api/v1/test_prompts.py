"""Any text that is a prompt comes back as it was sent, from the API and out of an image's metadata."""

from __future__ import annotations

import json

from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tasks.replay import read_manifest
from tasks.requests.job import MAX_PROMPT_CHARACTERS
from tasks.service import Service
from tests.support.jobs import manifest
from workers.stages.encode import encode

PROMPTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=MAX_PROMPT_CHARACTERS)
"""Any Unicode, control characters among it; lone surrogates are not text."""

BOUNDED = settings(
    max_examples=60, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@BOUNDED
@given(prompt=PROMPTS, negative_prompt=st.none() | PROMPTS, ascii_only=st.booleans())
def test_any_prompt_comes_back(
    client: FlaskClient, service: Service, prompt: str, negative_prompt: str | None, ascii_only: bool
) -> None:
    body = json.dumps({"prompt": prompt, "negative_prompt": negative_prompt}, ensure_ascii=ascii_only).encode()

    accepted = client.post("/v1/jobs", data=body, content_type="application/json")
    record = client.get(accepted.headers["Location"]).get_json()
    job = service.store.get(record["id"])
    written = read_manifest(encode(Image.new("RGB", (8, 8)), manifest(job.spec))).spec

    assert accepted.status_code == 202
    assert (record["prompt"], record["negative_prompt"]) == (prompt, negative_prompt)
    assert (written.prompt, written.negative_prompt) == (prompt, negative_prompt)


@BOUNDED
@given(before=st.text(max_size=5), surrogate=st.characters(categories=["Cs"]), after=st.text(max_size=5))
def test_half_a_character_is_refused(client: FlaskClient, before: str, surrogate: str, after: str) -> None:
    body = json.dumps({"prompt": f"{before}{surrogate}{after}"}).encode()

    response = client.post("/v1/jobs", data=body, content_type="application/json")

    assert response.status_code == 400
