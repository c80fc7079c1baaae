"""The whole path from resources that were made with boto3 alone: plain OpenVPN, plain awsiotsdk, real DNS and TLS.

It cannot prove what AWS itself answers, nor anything of timing on a real network.
"""

import ipaddress

import pytest

from tests.path.conftest import HandMadeLab
from tests.path.walk_through_by_hand import CLIENT_CIDR, DNS_SERVER, VPC_CIDR, inside_vpc

pytestmark = pytest.mark.path

MESSAGES = [f'"Hello World! [{number}]"' for number in range(1, 11)]


@pytest.mark.parametrize("mqtt", ["3", "5"])
def test_the_walk_throughs_ten_messages_go_out_and_come_back(path_lab: HandMadeLab, mqtt: str) -> None:
    with path_lab.tunnel("pi-1"):
        outcome = path_lab.pubsub("pi-1", mqtt=mqtt)
    assert (outcome["error"], outcome["received"]) == (None, MESSAGES)


def test_the_port_443_with_alpn_carries_the_same_messages(path_lab: HandMadeLab) -> None:
    with path_lab.tunnel("pi-1"):
        outcome = path_lab.pubsub("pi-1", port=443)
    assert (outcome["error"], outcome["received"]) == (None, MESSAGES)


def test_the_endpoints_name_is_private_with_the_tunnel_and_public_without_it(path_lab: HandMadeLab) -> None:
    with path_lab.tunnel("pi-1"):
        inside = path_lab.resolve("pi-1")
    assert inside == path_lab.hop("vpc-endpoint")["addresses"]
    assert all(map(inside_vpc, inside))
    outside = path_lab.resolve("pi-1")
    assert outside == path_lab.hop("iot")["addresses"]
    assert not any(map(inside_vpc, outside))


def test_without_the_tunnel_mqtt_3_is_hung_up_on_as_in_the_walk_through(path_lab: HandMadeLab) -> None:
    outcome = path_lab.pubsub("pi-1", mqtt="3")
    assert not outcome["connected"]
    assert outcome["error"].startswith("AwsCrtError: AWS_ERROR_MQTT_UNEXPECTED_HANGUP")


def test_without_the_tunnel_mqtt_5_is_told_not_authorized(path_lab: HandMadeLab) -> None:
    outcome = path_lab.pubsub("pi-1", mqtt="5")
    assert (outcome["connected"], outcome["reasonCode"]) == (False, 0x87)


def test_the_server_pushes_what_aws_pushes(path_lab: HandMadeLab) -> None:
    with path_lab.tunnel("pi-1") as output:
        pushed = output.wait_for("PUSH: Received control message").split("'")[1].split(",")
        address = path_lab.hop("device")["tunnel"].split("/")[0]
    vpc = ipaddress.ip_network(VPC_CIDR)
    for option in (
        f"dhcp-option DNS {DNS_SERVER}",
        f"route {vpc.network_address} {vpc.netmask}",
        "topology subnet",
        "ping 1",
        "ping-restart 20",
        "cipher AES-256-GCM",
    ):
        assert option in pushed
    assert not any(option.startswith("redirect-gateway") for option in pushed)
    assert ipaddress.ip_address(address) in ipaddress.ip_network(CLIENT_CIDR)


def test_the_vpc_sees_the_associations_address_and_no_clients(path_lab: HandMadeLab) -> None:
    with path_lab.tunnel("pi-1"):
        capture = path_lab.start("vpc", "tcpdump", "-Z", "root", "-l", "-n", "-i", "privatelink", "tcp port 8883")
        capture.wait_for("listening on")
        assert path_lab.pubsub("pi-1", count=1)["error"] is None
        first = capture.wait_for("Flags [S]")
        capture.close()
    source = path_lab.hop("client-vpn")["associations"][0]["sourceAddress"]
    assert f"IP {source}." in first


def test_the_distributions_own_script_sets_the_links_dns_and_takes_it_back(path_lab: HandMadeLab) -> None:
    with path_lab.tunnel("pi-1"):
        during = path_lab.hop("device")["dns"]
    after = path_lab.hop("device")["dns"]
    assert during["tun0"] == [DNS_SERVER, f"~{path_lab.iot_endpoint}"]
    assert list(after) == ["wlan0"]
    script = path_lab.run("pi-1", "cat", "/etc/openvpn/update-systemd-resolved").stdout
    assert "busctl_call SetLinkDNS" in script


def test_a_device_boots_its_tunnel_through_the_distributions_unit(path_lab: HandMadeLab) -> None:
    unit = "openvpn-client@clientvpn.service"
    done = path_lab.run("pi-1", "systemctl", "enable", "--now", unit)
    assert done.returncode == 0, done.stderr
    try:
        assert path_lab.run("pi-1", "systemctl", "is-enabled", unit).stdout == "enabled\n"
        assert path_lab.run("pi-1", "systemctl", "is-active", unit).stdout == "active\n"
        fragment = path_lab.run("pi-1", "systemctl", "show", "-p", "FragmentPath", "--value", unit).stdout
        assert fragment.endswith("/systemd/system/openvpn-client@.service\n")
    finally:
        path_lab.run("pi-1", "systemctl", "disable", "--now", unit)
    assert path_lab.run("pi-1", "systemctl", "is-active", unit).stdout == "inactive\n"
