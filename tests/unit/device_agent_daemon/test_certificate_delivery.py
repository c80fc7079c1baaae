"""What the agent does with a certificate that comes over MQTT: hand it on once, and tell how it ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from device_agent.daemon.certificate_delivery import JUDGED_WITHIN, RETRY_AFTER, CertificateDelivery
from device_agent.daemon.loop import Loop
from device_agent.install.renewal import Renewal, digest_of, store_renewal
from device_agent.installation import DELIVERED_FILE, RENEWAL_FILE, RENEWAL_SERVICE
from device_agent.system import Completed

from tests.unit.device_agent_daemon.machine import Machine, make_machine

PAYLOAD = b'{"version": 1}'


class Bench:
    """A delivery's way, with a unit that does nothing."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.machine = make_machine(tmp_path)
        self.machine.path(DELIVERED_FILE).parent.mkdir(parents=True)
        self.started: list[list[str]] = []
        self.answer = Completed(0, "", "")
        self.told = 0
        monkeypatch.setattr(Machine, "run", lambda _machine, argv, **_more: self._run(argv))
        monkeypatch.setattr(Machine, "has_other_users", lambda _self: False)
        monkeypatch.setattr(Loop, "in_background", lambda _self, work, done: done(work()))
        self.again()

    def _run(self, argv: list[str]) -> Completed:
        self.started.append(argv)
        return self.answer

    def again(self) -> None:
        """Start the agent anew."""
        self.loop = Loop(self.machine)
        self.delivery = CertificateDelivery(self.machine, self.loop, "pi-1", self._tell)
        self.delivery.start()

    def _tell(self) -> None:
        self.told += 1

    def end(self, result: str, detail: str = "seen", attempts: int = 1) -> None:
        """End as the unit does."""
        digest, now = digest_of(PAYLOAD), self.machine.now()
        store_renewal(self.machine, Renewal(digest=digest, result=result, detail=detail, attempts=attempts, at=now))

    def pass_time(self, seconds: float) -> None:
        self.machine.pass_time(seconds)
        self.loop.turn(0)


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(tmp_path, monkeypatch)
    yield made
    made.loop.close()


def test_a_delivery_is_put_down_and_its_judgement_told_once(bench: Bench) -> None:
    assert bench.delivery.topic == "pi-1/agent/certificates"
    assert bench.delivery.status() == {}
    bench.delivery.received(PAYLOAD)
    assert bench.machine.path(DELIVERED_FILE).read_bytes() == PAYLOAD
    assert bench.started == [["systemctl", "start", "--no-block", RENEWAL_SERVICE]]
    bench.delivery.received(PAYLOAD)
    bench.end("started")
    bench.pass_time(10)
    assert (len(bench.started), bench.told) == (1, 0)
    bench.end("installed")
    bench.pass_time(10)
    assert bench.told == 1
    assert bench.delivery.status()["certificate"]["result"] == "installed"
    bench.delivery.received(PAYLOAD)
    assert len(bench.started) == 1, "a retained message that comes again is judged again"


def test_the_agent_that_is_started_anew_within_the_trial_tells_how_it_ends(bench: Bench) -> None:
    bench.end("started")
    bench.again()
    assert bench.delivery.status() == {}
    bench.end("installed", "until 2029")
    bench.pass_time(3)
    assert bench.told == 1
    assert bench.delivery.status()["certificate"]["detail"] == "until 2029"


@pytest.mark.parametrize("result", ["refused", "unchanged", "installed"])
def test_what_is_judged_for_good_is_never_judged_again(bench: Bench, result: str) -> None:
    bench.end(result)
    for _hour in range(100):
        bench.pass_time(RETRY_AFTER)
        bench.delivery.received(PAYLOAD)
    assert bench.started == []


def test_a_trial_that_failed_or_was_cut_off_is_tried_again_ever_more_rarely(bench: Bench) -> None:
    tries = []
    for hour in range(24 * 14):
        last = json.loads(bench.machine.path(RENEWAL_FILE).read_text()) if bench.started else {"attempts": 0}
        before = len(bench.started)
        bench.delivery.received(PAYLOAD)
        if len(bench.started) > before:
            tries.append(hour)
            bench.end("failed" if hour % 2 else "started", attempts=last["attempts"] + 1)
        bench.pass_time(JUDGED_WITHIN + 3)
        bench.pass_time(RETRY_AFTER - JUDGED_WITHIN - 3)
    assert tries[:5] == [0, 1, 3, 7, 15]
    assert len(tries) == 15


@pytest.mark.parametrize("size", [32 * 1024 + 1, 128 * 1024])
def test_what_is_too_large_is_refused_without_a_write(bench: Bench, size: int) -> None:
    bench.delivery.received(b"x" * size)
    assert bench.started == []
    assert not bench.machine.path(DELIVERED_FILE).exists()
    assert bench.told == 1
    assert bench.delivery.status()["certificate"]["detail"] == "the delivery has over 32768 bytes; it is no certificate"


def test_a_unit_that_cannot_be_started_is_told(bench: Bench) -> None:
    bench.answer = Completed(1, "", "Access denied\n")
    bench.delivery.received(PAYLOAD)
    assert bench.delivery.status()["certificate"] | {"at": ""} == {
        "result": "failed",
        "detail": f"{RENEWAL_SERVICE} cannot be started: Access denied",
        "at": "",
    }


def test_a_topic_that_aws_iot_would_not_take_is_not_asked_for(bench: Bench) -> None:
    assert CertificateDelivery(bench.machine, bench.loop, "a/b/c/d/e/f/g", bench._tell).topic == ""


def test_a_unit_that_ends_with_a_refusal_before_its_start_returns_is_told_as_what_it_is(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(_machine: Machine, argv: list[str], **_more: object) -> Completed:
        assert argv[-1] == RENEWAL_SERVICE
        bench.end("refused", "it is for another key")
        return Completed(1, "", "Job failed\n")

    monkeypatch.setattr(Machine, "run", judge)
    bench.delivery.received(PAYLOAD)
    assert bench.told == 1
    assert bench.delivery.status()["certificate"]["detail"] == "it is for another key"


def test_a_delivery_that_comes_while_another_is_judged_is_judged_after_it(bench: Bench) -> None:
    bench.delivery.received(PAYLOAD)
    bench.end("started")
    later = b'{"version": 1, "vpnCertificatePem": "later"}'
    bench.delivery.received(later)
    assert len(bench.started) == 2, "systemd does nothing for a unit that runs"
    bench.pass_time(3)
    assert len(bench.started) == 2
    bench.end("installed")
    bench.pass_time(3)
    assert len(bench.started) == 3
    bench.pass_time(3)
    assert len(bench.started) == 3
    store_renewal(bench.machine, Renewal(digest=digest_of(later), result="refused", detail="shorter"))
    bench.pass_time(3)
    assert bench.delivery.status()["certificate"]["detail"] == "shorter"
    assert bench.told == 1
