"""The sender: what is slow costs its own places, and what dies with it is sent again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from threading import Event, current_thread

import pytest

from tasks.errors import ValkeyUnavailable
from tasks.jobs.keyspace import WEBHOOKS
from tasks.keys import default_limits
from tasks.loops.quarantine import MAX_FAILURES
from tasks.processes import sender_of
from tasks.service import Service
from tasks.valkey import Valkey
from tasks.webhooks.deliveries import LEASE_S, Bounds, Deliveries
from tasks.webhooks.ends import End
from tasks.webhooks.outcome import Outcome
from tasks.webhooks.sender import ENDS_A_ROUND, THREADS
from tasks.webhooks.stored import Taken
from tests.support.receiver import receiving
from tests.support.services import make_service
from tests.support.up import ROOT
from tests.support.waiting import patience, wait_until
from tests.support.webhooks import ended, pass_time, send_due, sender_through

SETTINGS = {"webhook_allow_http": True, "webhook_allow_loopback": True, "housekeeping_s": 0.5}


@pytest.fixture
def service(valkey: Valkey, valkey_url: str, tmp_path: Path) -> Service:
    return make_service(tmp_path, valkey_url=valkey_url, **SETTINGS)


def make_key(service: Service) -> str:
    """Id of a new API key."""
    return service.keys.create("ada", default_limits(service.settings))[0].id


def statuses(service: Service, owner: str) -> list[str]:
    return [str(delivery.status) for delivery in service.deliveries.page(owner, limit=100).deliveries]


def test_a_receiver_that_answers_a_byte_now_and_then_does_not_delay_another_key(service: Service) -> None:
    attacker, other = make_key(service), make_key(service)
    with receiving(200, pause_s=0.3) as slow, receiving(200) as quick, sender_of(service) as sender:
        for _ in range(2 * THREADS):
            ended(service, slow.url, attacker)
        sender.round()
        ended(service, quick.url, other)

        sender.round()
        wait_until(lambda: statuses(service, other) == ["delivered"], timeout_s=10)

    assert "delivered" not in statuses(service, attacker)
    assert len(slow.received) <= Bounds().at_once_for_owner * 2


def test_everything_that_is_due_is_sent_without_waiting_for_the_next_round(service: Service) -> None:
    owner = make_key(service)
    with receiving(200) as receiver, sender_of(service) as sender:
        for _ in range(20):
            ended(service, receiver.url, owner)

        sender.round()
        wait_until(lambda: statuses(service, owner) == ["delivered"] * 20)

    assert len({headers["webhook-id"] for _, headers, _ in receiver.received}) == 20


def test_the_delivery_of_a_killed_sender_is_sent_again_when_its_lease_lapses(service: Service, valkey_url: str) -> None:
    owner = make_key(service)
    environment = {f"STOKEHOLD_{name.upper()}": str(value) for name, value in SETTINGS.items()}
    with receiving(200, pause_s=1) as receiver:
        ended(service, receiver.url, owner)
        process = subprocess.Popen(
            [sys.executable, "-m", "tasks.processes", "webhooks"],
            cwd=ROOT,
            env={**os.environ, **environment, "STOKEHOLD_VALKEY_URL": valkey_url},
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: len(receiver.received) == 1)
        process.kill()
        process.wait()
        send_due(service)
        assert len(receiver.received) == 1
        receiver.pause_s = 0
        pass_time(service.valkey, LEASE_S)

        send_due(service)

    assert statuses(service, owner) == ["delivered"]
    assert len({headers["webhook-id"] for _, headers, _ in receiver.received}) == 1


def test_a_sender_that_shuts_down_finishes_its_deliveries_and_begins_none(service: Service) -> None:
    owner, begun, may_end = make_key(service), Event(), Event()

    def post(url: str, body: bytes, headers: dict[str, str]) -> int:
        begun.set()
        may_end.wait(patience(30))
        return 200

    with sender_through(service, post) as sender:
        for number in range(10):
            ended(service, f"https://{number}.example/", owner)
        sender.round()
        begun.wait(patience(30))
        sender._stopping = True
        may_end.set()

    assert sorted(statuses(service, owner)) == ["delivered"] * Bounds().at_once_for_owner + ["pending"] * 6


def test_a_try_that_cannot_be_noted_is_made_again(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = make_key(service)

    def away(taken: Taken, outcome: Outcome) -> bool:
        raise ValkeyUnavailable("away")

    with receiving(200) as receiver:
        ended(service, receiver.url, owner)
        with monkeypatch.context() as patch:
            patch.setattr(type(service.deliveries), "settle", lambda _self, *arguments: away(*arguments))
            send_due(service)
        pass_time(service.valkey, LEASE_S)

        send_due(service)

    assert len(receiver.received) == 2
    assert statuses(service, owner) == ["delivered"]


@pytest.mark.parametrize(
    "error", [ValueError("of ours"), OSError(24, "Too many open files"), RuntimeError("something else")]
)
def test_whatever_is_raised_in_a_try_ends_that_try_alone(service: Service, error: Exception) -> None:
    owner = make_key(service)

    def post(url: str, body: bytes, headers: dict[str, str]) -> int:
        if "broken" in url:
            raise error
        return 200

    ended(service, "https://broken.example/", owner)
    ended(service, "https://good.example/", owner)
    with sender_through(service, post) as sender:
        sender.round()

    good, broken = service.deliveries.page(owner, limit=2).deliveries
    assert (good.status, broken.status) == ("delivered", "pending")
    assert str(error) not in broken.model_dump_json()


def test_an_end_does_not_wait_for_a_long_backlog_of_others(service: Service) -> None:
    owner = make_key(service)
    with receiving(200) as receiver, sender_of(service) as sender:
        service.valkey.zadd(WEBHOOKS, {f"gone-{number}": number for number in range(2 * ENDS_A_ROUND)})
        ended(service, receiver.url, owner)

        sender.round()
        wait_until(lambda: statuses(service, owner) == ["delivered"])

    assert service.valkey.zcard(WEBHOOKS) > 0


def test_an_end_that_raises_is_tried_again_some_rounds_and_then_quarantined_with_its_reason(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = make_key(service)
    strange, plain = ended(service, "https://strange.example/", owner), ended(service, "https://plain.example/", owner)
    enlist = type(service.deliveries).enlist

    def raising(deliveries: Deliveries, end: End) -> None:
        if end.name == strange.id:
            raise KeyError("nobody foresaw this")
        enlist(deliveries, end)

    with sender_through(service, lambda *_: 200) as sender, monkeypatch.context() as patch:
        patch.setattr(type(service.deliveries), "enlist", raising)
        for _ in range(MAX_FAILURES):
            assert service.valkey.zscore(WEBHOOKS, strange.id) is not None
            sender.enlist_ends()
            sender.enlist_ends()  # at once: it is not due again
            service.valkey.zadd(WEBHOOKS, {strange.id: 0}, xx=True)

    assert [delivery.job for delivery in service.deliveries.page(owner, limit=10).deliveries] == [plain.id]
    [record] = service.quarantine.records()
    assert (record.index, record.member) == (WEBHOOKS, strange.id)
    assert "nobody foresaw this" in record.reason

    service.quarantine.release_all()
    service.valkey.zadd(WEBHOOKS, {strange.id: 0}, xx=True)
    with sender_through(service, lambda *_: 200) as sender:
        sender.round()
    assert len(statuses(service, owner)) == 2


def test_an_end_that_no_round_understands_is_quarantined_and_delivered_after_its_release(service: Service) -> None:
    owner = make_key(service)
    newer, plain = ended(service, "https://newer.example/", owner), ended(service, "https://plain.example/", owner)
    service.valkey.hset(f"stokehold:job:{newer.id}", "record_version", 1000)

    with sender_through(service, lambda *_: 200) as sender:
        for _ in range(MAX_FAILURES):
            assert service.valkey.zscore(WEBHOOKS, newer.id) is not None
            sender.enlist_ends()
            sender.enlist_ends()  # at once: it is not due again
            service.valkey.zadd(WEBHOOKS, {newer.id: 0}, xx=True)

    assert service.valkey.zscore(WEBHOOKS, newer.id) is None
    [record] = service.quarantine.records()
    assert (record.index, record.member) == (WEBHOOKS, newer.id)
    assert "another version" in record.reason
    assert [delivery.job for delivery in service.deliveries.page(owner, limit=10).deliveries] == [plain.id]

    service.valkey.hset(f"stokehold:job:{newer.id}", "record_version", 1)
    service.quarantine.release_all()
    service.valkey.zadd(WEBHOOKS, {newer.id: 0}, xx=True)
    with sender_through(service, lambda *_: 200) as sender:
        sender.enlist_ends()
    assert len(statuses(service, owner)) == 2


def test_an_end_that_meets_a_fault_of_this_machine_stays_and_stops_none_behind_it(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = make_key(service)
    strange, plain = ended(service, "https://strange.example/", owner), ended(service, "https://plain.example/", owner)
    enlist = type(service.deliveries).enlist

    def raising(deliveries: Deliveries, end: End) -> None:
        if end.name == strange.id:
            raise OSError(24, "Too many open files")
        enlist(deliveries, end)

    with sender_through(service, lambda *_: 200) as sender, monkeypatch.context() as patch:
        patch.setattr(type(service.deliveries), "enlist", raising)
        for _ in range(2 * MAX_FAILURES):
            sender.enlist_ends()
            service.valkey.zadd(WEBHOOKS, {strange.id: 0}, xx=True)

    assert [delivery.job for delivery in service.deliveries.page(owner, limit=10).deliveries] == [plain.id]
    assert service.valkey.zscore(WEBHOOKS, strange.id) is not None
    assert service.quarantine.records() == []


def test_a_sender_whose_thread_cannot_take_the_next_delivery_says_so_and_goes_on(
    service: Service, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    owner = make_key(service)
    take = type(service.deliveries).take

    def raising(deliveries: Deliveries) -> Taken | None:
        if current_thread().name.startswith("webhook"):
            raise KeyError("nobody foresaw this")
        return take(deliveries)

    for name in "abcdef":
        ended(service, f"https://{name}.example/", owner)
    with sender_through(service, lambda *_: 200) as sender:
        with monkeypatch.context() as patch:
            patch.setattr(type(service.deliveries), "take", raising)
            sender.round()
            wait_until(lambda: caplog.text.count("nobody foresaw this") >= Bounds().at_once_for_owner)
        sender.round()

    assert statuses(service, owner) == ["delivered"] * 6
    assert {record.levelname for record in caplog.records if "the next delivery waits" in record.message} == {"ERROR"}
