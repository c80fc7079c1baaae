"""The agent in the lab's network while it is broken, hop by hop: nothing lost, nothing outside the tunnel.

OpenVPN, DNS, TLS, MQTT, systemd's units and the packets are real; AWS's side is the lab's, and there is no delay of a
real network. Times are printed, not judged.
"""

from __future__ import annotations

import random

import pytest

from tests.path.agent_daemon.loopback import wait_until
from tests.path.agent_daemon.sandbox import (
    Listener,
    Publishing,
    Sandbox,
    capture,
    check,
    measure_return,
    now,
    say,
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


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_lost_and_nothing_leaves_outside_the_tunnel_during(
    sandbox: Sandbox, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.wait_connected()
    restarts = sandbox.agent_restarts()
    with Listener().listening(sandbox) as listener:
        with capture(sandbox) as outside, Publishing().running(sandbox, every=0.05) as publishing:
            wait_until(lambda: len(listener.data()) > 20, "the first messages")
            with sandbox.fault(fault, SECONDS):
                pass
            after = measure_return(listener, now())
        duplicates = check(listener, publishing)
    assert outside == []
    assert sandbox.agent_restarts() == restarts, "the agent did not live through it"
    say(
        capsys,
        f"{fault} for {SECONDS:g} s: {publishing.sent} messages, none lost, {duplicates} twice, none outside;"
        f" the first arrived {after:.2f} s after the fault's end",
    )


def test_nothing_is_lost_and_nothing_leaves_outside_the_tunnel_while_the_broker_is_down(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """The lab's broker forgets its listeners when it is killed, and what it acknowledges before they are back.

    So that nothing is lost is shown by what was acknowledged, and by the order and the gaps of what was heard.
    """
    sandbox.wait_connected()
    # What came of the test before is heard a moment before it is acknowledged.
    wait_until(lambda: sandbox.status()["queue"]["depth"] == 0, "an empty queue")
    before = sandbox.status()["queue"]
    with Listener().listening(sandbox) as listener:
        with capture(sandbox) as outside, Publishing().running(sandbox, every=0.05) as publishing:
            wait_until(lambda: len(listener.data()) > 20, "the first messages")
            with sandbox.fault("broker-down", SECONDS):
                pass
            after = measure_return(listener, now())
        wait_until(lambda: sandbox.status()["queue"]["depth"] == 0, "an empty queue", 200)
        wanted = [receipt["id"] for receipt in publishing.receipts]
        wait_until(lambda: wanted[-1] in listener.ids(), "the last message")
    queue = sandbox.status()["queue"]
    assert queue["accepted"] - before["accepted"] == queue["sent"] - before["sent"] == publishing.sent
    assert queue["refused"] == before["refused"]
    came = [item["properties"]["message-id"] for item in listener.data()]
    first_arrivals = list(dict.fromkeys(came))
    assert first_arrivals == [id_ for id_ in wanted if id_ in set(came)], "the order changed"
    unheard = [place for place, id_ in enumerate(wanted) if id_ not in set(came)]
    assert not unheard or unheard == list(range(unheard[0], unheard[-1] + 1)), "lost in more than one moment"
    assert outside == []
    say(
        capsys,
        f"broker-down for {SECONDS:g} s: {publishing.sent} messages, all acknowledged, {len(unheard)} before the"
        f" listener was back, {len(came) - len(first_arrivals)} twice, none outside;"
        f" the first arrived {after:.2f} s after the fault's end",
    )


def test_ten_thousand_messages_across_three_outages_arrive_as_numbered(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.wait_connected()
    before = sandbox.status()["connection"]["connections"]
    with Listener().listening(sandbox) as listener:
        with capture(sandbox) as outside, Publishing().running(sandbox, every=0.003) as publishing:
            for share, fault in enumerate(("vpn-killed", "internet-down", "vpn-frozen"), 1):
                wait_until(lambda: publishing.sent > 10_000 * share // 5, "the next outage", 200)  # noqa: B023 - at once
                with sandbox.fault(fault, 5):
                    pass
                measure_return(listener, now())
            wait_until(lambda: publishing.sent >= 10_000, "ten thousand messages", 300)
        duplicates = check(listener, publishing)
    assert [int(item["payload"]) for item in unique(listener)] == list(range(publishing.sent))
    assert outside == []
    say(
        capsys,
        f"{publishing.sent} messages across three outages arrived as numbered; {duplicates} came twice: they were in"
        " flight when the path ended",
    )
    # AWS IoT allows 100 in flight; only these can come twice, when a connection ends.
    assert duplicates <= 100 * (sandbox.status()["connection"]["connections"] - before)


def unique(listener: Listener) -> list[dict[str, str]]:
    return list({item["properties"]["message-id"]: item for item in listener.data()}.values())


def test_kill_9_of_the_agent_at_random_moments_loses_nothing_and_systemd_starts_it_again(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = random.randrange(1_000_000)  # noqa: S311 - no secret
    say(capsys, f"killing with seed {seed}")
    moments = random.Random(seed)  # noqa: S311 - no secret
    sandbox.wait_connected()
    with Listener().listening(sandbox) as listener:
        with Publishing().running(sandbox, every=0.02) as publishing:
            for _kill in range(4):
                wanted = len(listener.data()) + moments.randrange(1, 100)
                wait_until(lambda: len(listener.data()) >= wanted, "the next kill")  # noqa: B023 - at once
                before = sandbox.agent_process()
                # From its very start on: before it listens, before it is connected, while it sends.
                sandbox.run("sh", "-c", f"sleep {moments.uniform(0, 0.5):f}; kill -9 {before}")
                wait_until(lambda: sandbox.agent_process() not in (0, before), "the restart")  # noqa: B023 - at once
        duplicates = check(listener, publishing)
    sandbox.wait_connected()
    say(capsys, f"4 kills of the agent: {publishing.sent} messages, none lost, {duplicates} twice")


def test_the_agent_runs_as_its_own_user_and_may_restart_the_tunnel(sandbox: Sandbox) -> None:
    pid = sandbox.agent_process()
    user = sandbox.run("stat", "-c", "%U", f"/proc/{pid}").stdout.strip()
    before = sandbox.status()["tunnel"]["restarts"]
    with sandbox.fault("vpn-frozen", 300, end_early=True):
        wait_until(lambda: sandbox.status()["tunnel"]["restarts"] > before, "a restart of the tunnel")
    sandbox.wait_connected()
    assert user == "private-iot"
    assert sandbox.status()["tunnel"]["error"] is None
