"""The receiver of a soak writes down what comes, and whether its signature is good."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from stack.history.event import Phase, SeenWebhook
from stack.history.recorder import Recorder, read_history
from stack.ports import LOOPBACK, Ports
from stack.soak.receiver import Manner, Receiver, receiving
from tasks.api_client import ApiClient, ApiResponse
from tasks.errors import ServerSilent
from tasks.webhooks.secrets import new_secret

SECRET = new_secret()
RECORD = {"id": "j", "status": "canceled", "attempt": 0, "images": [], "error": None, "prompt": "a circle, number k-1"}
BODY = json.dumps({"type": "job.canceled", "data": RECORD})


def deliver(port: int, secret: str) -> ApiResponse:
    now = datetime.now(UTC)
    signature = Webhook(secret).sign("msg_1", now, BODY)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
    with ApiClient(f"http://{LOOPBACK}:{port}", None) as client:
        return client.send("POST", "/alice", BODY.encode(), headers)


@pytest.mark.parametrize(
    ("secret", "genuine"), [(SECRET, True), (new_secret(), False)], ids=["its own secret", "another secret"]
)
def test_a_delivery_is_written_down_with_the_verdict_on_its_signature(
    tmp_path: Path, secret: str, genuine: bool
) -> None:
    port = Ports.free().api
    with Recorder(tmp_path / "history") as recorder:
        receiver = Receiver(recorder, {"alice": SECRET}, random.Random(1))
        receiver.manner = Manner.PROMPT
        with receiving(receiver, port):
            assert deliver(port, secret).status == 200

    (seen,) = [event for event in read_history(tmp_path / "history") if event.phase is Phase.OK]
    assert seen.owner == "alice"
    assert isinstance(seen.answer, SeenWebhook)
    assert (seen.answer.id, seen.answer.genuine, seen.answer.about.id) == ("msg_1", genuine, "j")


def test_while_a_fault_lasts_every_delivery_is_treated_so(tmp_path: Path) -> None:
    port = Ports.free().api
    with Recorder(tmp_path / "history") as recorder:
        receiver = Receiver(recorder, {"alice": SECRET}, random.Random(1))
        with receiving(receiver, port):
            receiver.manner = Manner.FAILING
            assert deliver(port, SECRET).status == 500
            receiver.manner = Manner.HANGING_UP
            with pytest.raises(ServerSilent):
                deliver(port, SECRET)


def test_what_a_receiver_does_not_expect_ends_the_soak(tmp_path: Path) -> None:
    port = Ports.free().api
    with Recorder(tmp_path / "history") as recorder:
        receiver = Receiver(recorder, {}, random.Random(1))
        with pytest.raises(KeyError, match="alice"), receiving(receiver, port), pytest.raises(ServerSilent):
            deliver(port, SECRET)
