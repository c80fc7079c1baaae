"""Connections of Client VPN as AWS's APIs show them: described, terminated, logged.

It cannot prove how soon AWS shows or logs a connection.
"""

from __future__ import annotations

import ipaddress
import json
from typing import Any

import pytest

from tests.path.conftest import HandMadeLab
from tests.path.path_lab import UP, wait_for
from tests.path.walk_through_by_hand import CLIENT_CIDR

pytestmark = pytest.mark.path


def _described(lab: HandMadeLab) -> list[dict[str, Any]]:
    answer = lab.aws.client("ec2").describe_client_vpn_connections(ClientVpnEndpointId=lab.made.client_vpn_endpoint_id)
    found: list[dict[str, Any]] = answer["Connections"]
    return found


@pytest.fixture
def earlier(path_lab: HandMadeLab) -> set[str]:
    """The connections of the tests before: a client that said no goodbye stays active until its server misses it."""
    return {item["ConnectionId"] for item in _described(path_lab)}


def _connections(lab: HandMadeLab, earlier: set[str], state: str) -> list[dict[str, Any]]:
    """Return this test's connections in a state."""
    own = [item for item in _described(lab) if item["ConnectionId"] not in earlier]
    return [item for item in own if item["Status"]["Code"] == state]


def _active(lab: HandMadeLab, earlier: set[str]) -> dict[str, Any]:
    found: list[dict[str, Any]] = wait_for(lambda: _connections(lab, earlier, "active"), "an active connection")
    assert len(found) == 1
    return found[0]


def _log(lab: HandMadeLab, connection_id: str) -> list[dict[str, str]]:
    logs = lab.aws.client("logs")
    events = [
        json.loads(event["message"])
        for group in logs.describe_log_groups()["logGroups"]
        for event in logs.filter_log_events(logGroupName=group["logGroupName"])["events"]
    ]
    return [event for event in events if event["connection-id"] == connection_id]


def test_a_connection_is_described_while_it_is_up_and_terminated_afterwards(
    path_lab: HandMadeLab, earlier: set[str]
) -> None:
    with path_lab.tunnel("pi-1", "--explicit-exit-notify", "1"):
        active = _active(path_lab, earlier)
        assert active["CommonName"] == "pi-1.private-iot.internal"
        assert ipaddress.ip_address(active["ClientIp"]) in ipaddress.ip_network(CLIENT_CIDR)
        assert path_lab.pubsub("pi-1")["error"] is None
    identifier = active["ConnectionId"]
    ended = wait_for(
        lambda: [item for item in _connections(path_lab, earlier, "terminated") if item["ConnectionId"] == identifier],
        "the end of the connection",
    )
    assert int(ended[0]["IngressBytes"]) > 1000
    assert int(ended[0]["EgressBytes"]) > 1000
    # Ten messages there and back are more packets than ten, each way.
    assert int(ended[0]["IngressPackets"]) > 10
    assert int(ended[0]["EgressPackets"]) > 10


def test_a_connection_is_logged_in_awss_words_when_it_begins_and_when_it_ends(
    path_lab: HandMadeLab, earlier: set[str]
) -> None:
    with path_lab.tunnel("pi-1", "--explicit-exit-notify", "1"):
        identifier = _active(path_lab, earlier)["ConnectionId"]
        (begun,) = wait_for(lambda: _log(path_lab, identifier), "the entry of the attempt")
    attempt, reset = wait_for(
        lambda: entries if len(entries := _log(path_lab, identifier)) == 2 else None, "the entry of the end"
    )
    assert begun == attempt
    assert (attempt["connection-log-type"], attempt["connection-attempt-status"]) == (
        "connection-attempt",
        "successful",
    )
    assert attempt["common-name"] == "pi-1.private-iot.internal"
    assert attempt["device-ip"] == path_lab.hop("device")["interfaces"]["wlan0"][0].split("/")[0]
    assert attempt["connection-end-time"] == "NA"
    assert reset["connection-log-type"] == "connection-reset"
    assert reset["connection-end-time"] != "NA"
    assert int(reset["egress-bytes"]) > 0


def test_terminating_a_connection_resets_it_and_the_client_comes_back_as_another(
    path_lab: HandMadeLab, earlier: set[str]
) -> None:
    with path_lab.tunnel("pi-1", "--explicit-exit-notify", "1") as output:
        first = _active(path_lab, earlier)["ConnectionId"]
        seen = len(output.lines)
        path_lab.aws.client("ec2").terminate_client_vpn_connections(
            ClientVpnEndpointId=path_lab.made.client_vpn_endpoint_id, ConnectionId=first
        )
        # As at a session's end: the client is told, and begins anew before it would miss the server. The component
        # leaves disconnect_on_session_timeout on because of this.
        assert "server-pushed" in output.wait_for("restarting", after=seen)
        output.wait_for(UP, after=seen)
        second = wait_for(
            lambda: next((c for c in _connections(path_lab, earlier, "active") if c["ConnectionId"] != first), None),
            "a new connection",
        )
        wait_for(
            lambda: first in [item["ConnectionId"] for item in _connections(path_lab, earlier, "terminated")],
            "the end of the first connection",
        )
        assert second["CommonName"] == "pi-1.private-iot.internal"


def test_two_connections_with_one_certificate_live_side_by_side(path_lab: HandMadeLab, earlier: set[str]) -> None:
    with path_lab.tunnel("pi-1", "--explicit-exit-notify", "1"):
        other = path_lab.start(
            "pi-1",
            *("openvpn", "--config", "/etc/openvpn/client/clientvpn.conf", "--dev", "tun1", "--route-noexec"),
            *("--up", "/bin/true", "--down", "/bin/true", "--explicit-exit-notify", "1"),
        )
        try:
            other.wait_for(UP)
            wait_for(lambda: len(_connections(path_lab, earlier, "active")) == 2, "a second connection")
        finally:
            other.close()
        wait_for(lambda: len(_connections(path_lab, earlier, "active")) == 1, "the end of the second connection")
