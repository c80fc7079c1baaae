"""The agent in the lab's network while it is broken, hop by hop: nothing lost, nothing outside the tunnel.

OpenVPN, DNS, TLS, MQTT, systemd's units and the packets are real; AWS's side is the lab's, and there is no delay of a
real network. Times are printed, not judged.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.path.agent_daemon.loopback import wait_until
from tests.path.agent_daemon.sandbox import (
    Listener,
    Publishing,
    Sandbox,
    capture,
    measure_return,
    now,
    running_sandbox,
)

pytestmark = [pytest.mark.path, pytest.mark.timeout(600)]

FAULTS = (
    "vpn-killed",
    "vpn-frozen",
    "endpoint-unreachable",
    "dns-down",
    "internet-down",
    "clock-skew",
    "certificate-expired",
)
SECONDS = 8.0


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running_sandbox() as built:
        yield built


def check(listener: Listener, publishing: Publishing) -> int:
    """Check that all that was acknowledged has come, in order; give the number of duplicates."""
    wanted = [receipt["id"] for receipt in publishing.receipts]
    wait_until(lambda: listener.ids() >= set(wanted), "every acknowledged message", 120)
    came = [item["properties"]["message-id"] for item in listener.data()]
    assert list(dict.fromkeys(came)) == wanted, "the order changed"
    return len(came) - len(wanted)


def say(capsys: pytest.CaptureFixture[str], text: str) -> None:
    with capsys.disabled():
        sys.stdout.write(f"\n{text}\n")


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_lost_and_nothing_leaves_outside_the_tunnel_during(
    sandbox: Sandbox, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.wait_connected()
    with Listener().listening(sandbox) as listener:
        with capture(sandbox) as outside, Publishing().running(sandbox, every=0.05) as publishing:
            wait_until(lambda: len(listener.data()) > 20, "the first messages")
            with sandbox.fault(fault, SECONDS):
                pass
            after = measure_return(listener, now())
        duplicates = check(listener, publishing)
    assert outside == []
    say(
        capsys,
        f"{fault} for {SECONDS:g} s: {publishing.sent} messages, none lost, {duplicates} twice, none outside;"
        f" the first arrived {after:.2f} s after the fault's end",
    )


def test_a_broker_that_is_killed_takes_nothing_of_the_queue_with_it(sandbox: Sandbox) -> None:
    """What the broker has acknowledged dies with it here, so that the agent's own counts are what is compared."""
    sandbox.wait_connected()
    before = sandbox.status()["queue"]
    with Publishing().running(sandbox, every=0.05) as publishing:
        wait_until(lambda: publishing.sent > 20, "the first messages")
        with sandbox.fault("broker-down", SECONDS):
            pass
    wait_until(lambda: sandbox.status()["queue"]["depth"] == 0, "an empty queue", 120)
    after = sandbox.status()["queue"]
    assert after["accepted"] - before["accepted"] == publishing.sent
    assert after["sent"] - before["sent"] == publishing.sent
    assert after["refused"] == before["refused"]


def test_ten_thousand_messages_across_three_outages_arrive_as_numbered(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.wait_connected()
    with Listener().listening(sandbox) as listener:
        with capture(sandbox) as outside, Publishing().running(sandbox, every=0.003) as publishing:
            for share, fault in enumerate(("vpn-killed", "internet-down", "vpn-frozen"), 1):
                wait_until(lambda: publishing.sent > 10_000 * share // 5, "the next outage", 120)  # noqa: B023 - at once
                with sandbox.fault(fault, 5):
                    pass
                measure_return(listener, now())
            wait_until(lambda: publishing.sent >= 10_000, "ten thousand messages", 120)
        duplicates = check(listener, publishing)
    assert [int(item["payload"]) for item in unique(listener)] == list(range(publishing.sent))
    assert outside == []
    say(
        capsys,
        f"{publishing.sent} messages across three outages arrived as numbered; {duplicates} came twice: they were in"
        " flight when the path ended",
    )
    # AWS IoT allows 100 in flight; only these can come twice.
    assert duplicates <= 3 * 100


def unique(listener: Listener) -> list[dict[str, str]]:
    return list({item["properties"]["message-id"]: item for item in listener.data()}.values())


def test_kill_9_of_the_agent_loses_nothing_and_systemd_starts_it_again(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.wait_connected()
    with Listener().listening(sandbox) as listener:
        with Publishing().running(sandbox, every=0.02) as publishing:
            for kill in range(1, 4):
                wait_until(lambda: len(listener.data()) > 100 * kill, "the next kill", 60)  # noqa: B023 - at once
                before = sandbox.agent_process()
                sandbox.kill_agent()
                wait_until(lambda: sandbox.agent_process() not in (0, before), "the restart")  # noqa: B023 - at once
                sandbox.wait_connected()
        duplicates = check(listener, publishing)
    say(capsys, f"3 kills of the agent: {publishing.sent} messages, none lost, {duplicates} twice")


def test_the_agent_runs_as_its_own_user_and_may_restart_the_tunnel(sandbox: Sandbox) -> None:
    pid = sandbox.agent_process()
    user = sandbox.run("stat", "-c", "%U", f"/proc/{pid}").stdout.strip()
    before = sandbox.status()["tunnel"]["restarts"]
    with sandbox.fault("vpn-frozen", 30):
        wait_until(lambda: sandbox.status()["tunnel"]["restarts"] > before, "a restart of the tunnel", 60)
    sandbox.wait_connected()
    assert user == "private-iot"
    assert sandbox.status()["tunnel"]["error"] is None
