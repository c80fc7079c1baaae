"""A device's certificate is replaced while it publishes: through AWS's API, a new bundle, a trial and the promotion.

The tunnel, DNS, TLS, policies and the broker are real; AWS's side is the lab's. It cannot prove how soon AWS knows a
new certificate, nor how soon it hangs up on one that is no longer active.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.path.agent.rotation import issue
from tests.path.agent_daemon.loopback import wait_until
from tests.path.agent_daemon.sandbox import DEVICE, TUNNEL, Listener, Publishing, Sandbox, capture, check, say

pytestmark = [pytest.mark.path, pytest.mark.timeout(600)]


@contextmanager
def flowing(sandbox: Sandbox) -> Iterator[tuple[Listener, Publishing]]:
    """Publish and listen while the block runs; nothing may leave outside the tunnel."""
    sandbox.wait_connected()
    with Listener().listening(sandbox) as listener:
        with capture(sandbox) as outside, Publishing().running(sandbox, every=0.05) as publishing:
            wait_until(lambda: len(listener.data()) > 20, "the first messages")
            yield listener, publishing
            seen = len(listener.data())
            wait_until(lambda: len(listener.data()) > seen + 20, "messages after the installation")
        duplicates = check(listener, publishing)
    assert outside == []
    publishing.duplicates = duplicates


def fingerprint(sandbox: Sandbox) -> str:
    """The certificate in use, as the agent tells; AWS IoT names it so too."""
    found: str = sandbox.status()["certificates"][0]["fingerprint"]
    return found


def longest_gap(listener: Listener) -> float:
    moments = [float(item["at"]) for item in listener.data()]
    return max(after - before for before, after in itertools.pairwise(moments))


def test_a_rotated_certificate_takes_over_while_messages_flow_and_the_old_one_opens_nothing(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    iot, old = sandbox.aws.client("iot"), sandbox.made.devices[DEVICE]
    assert fingerprint(sandbox) == old.certificate_id
    fresh = issue(sandbox.aws, DEVICE, sandbox.made.policy_name)
    sandbox.sync()
    try:
        with flowing(sandbox) as (listener, publishing):
            done = sandbox.install(sandbox.bundle(fresh))
            assert done.returncode == 0, done.stderr
            assert "try /etc/private-iot/slots/b: its tunnel, then an echo over it\n" in done.stdout
            assert "promote slots/b: let /etc/private-iot/current lead to it\n" in done.stdout
            iot.update_certificate(certificateId=old.certificate_id, newStatus="INACTIVE")
            sandbox.sync()
            sandbox.wait_connected()
            assert fingerprint(sandbox) == fresh.id
            # A connection that is made from now on can only be the new certificate's.
            before = sandbox.status()["connection"]["connections"]
            sandbox.run("systemctl", "restart", TUNNEL)
            wait_until(lambda: sandbox.status()["connection"]["connections"] > before, "another connection")
        say(
            capsys,
            f"rotation: {publishing.sent} messages, none lost, {publishing.duplicates} twice, none outside;"
            f" the longest gap was {longest_gap(listener):.2f} s",
        )
    finally:
        iot.update_certificate(certificateId=old.certificate_id, newStatus="ACTIVE")
        sandbox.sync()
        done = sandbox.install(sandbox.bundle())
    assert done.returncode == 0, done.stderr
    assert fingerprint(sandbox) == old.certificate_id


def test_a_certificate_that_is_not_active_is_tried_in_vain_and_the_old_one_goes_on(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    old = sandbox.made.devices[DEVICE].certificate_id
    fresh = issue(sandbox.aws, DEVICE, sandbox.made.policy_name, active=False)
    sandbox.sync()
    with flowing(sandbox) as (listener, publishing):
        done = sandbox.install(sandbox.bundle(fresh))
        assert done.returncode == 2
        assert "the new bundle did not pass its trial and was not installed" in done.stderr
        sandbox.wait_connected()
        assert fingerprint(sandbox) == old
    say(
        capsys,
        f"refused rotation: {publishing.sent} messages, none lost, {publishing.duplicates} twice, none outside;"
        f" the longest gap was {longest_gap(listener):.2f} s",
    )
