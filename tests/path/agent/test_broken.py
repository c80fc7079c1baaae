"""One broken thing at a time, on the device, in the network or in the cloud: doctor names the hop that is broken.

It cannot prove that AWS breaks in the same way; each change is made through AWS's own APIs, and the lab's rules carry
their sources.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.path.agent.house import AGENT, TUNNEL, Device, House
from tests.path.path_lab import wait_for
from tests.path.walk_through_by_hand import (
    DNS_SERVER,
    VPC_CIDR,
    Authority,
    Issued,
    alias_change,
    authorize,
    mqtt_permissions,
    policy_document,
    wait_for_client_vpn,
)

pytestmark = [pytest.mark.path, pytest.mark.timeout(600)]


def blames(device: Device, check: str, *, others: frozenset[str] = frozenset()) -> dict[str, str]:
    """Examine, and insist that this check failed and nothing before it."""
    rows = device.doctor()
    failed = [name for name, row in rows.items() if row["result"] == "failed"]
    assert failed[:1] == [check], rows
    assert set(failed[1:]) <= others, rows
    return rows[check]


@contextmanager
def agent_stopped(device: Device) -> Iterator[None]:
    """Let the doctor connect by itself, so that no connection from before the break is asked."""
    device.run("systemctl", "stop", AGENT)
    try:
        yield
    finally:
        device.run("systemctl", "start", AGENT)
        device.wait_until_healthy()


# -- on the device --------------------------------------------------------------------------------------------------


def test_a_key_that_others_can_read_is_blamed_on_the_files(installed: Device) -> None:
    installed.run("chmod", "644", "/etc/private-iot/private-key.pem")
    try:
        assert "has mode 0644" in blames(installed, "files")["seen"]
    finally:
        installed.run("chmod", "600", "/etc/private-iot/private-key.pem")


def test_a_key_of_another_owner_is_blamed_on_the_files(installed: Device) -> None:
    owner = installed.run("stat", "-L", "-c", "%u:%g", "/etc/private-iot/private-key.pem").stdout.strip()
    done = installed.run("chown", "-L", "12345", "/etc/private-iot/private-key.pem")
    if done.returncode != 0:
        # An ordinary user's container has no other owner, so that no file can have one.
        assert "Invalid argument" in done.stderr
        return
    try:
        assert "belongs to user 12345" in blames(installed, "files")["seen"]
    finally:
        installed.run("chown", "-L", owner, "/etc/private-iot/private-key.pem")


def test_a_stopped_tunnel_is_blamed_on_its_service(installed: Device) -> None:
    with agent_stopped(installed):
        installed.run("systemctl", "stop", TUNNEL)
        try:
            assert blames(installed, "tunnel")["seen"] == f"{TUNNEL} is inactive (dead)"
        finally:
            installed.run("systemctl", "start", TUNNEL)


def test_dns_that_somebody_took_off_the_tunnel_is_blamed_on_the_resolver(installed: Device) -> None:
    """NetworkManager does that on changes of the network (update-systemd-resolved #51)."""
    with agent_stopped(installed):
        installed.run("resolvectl", "revert", "tun0")
        try:
            row = blames(installed, "resolver")
            assert row["meaning"] == "the VPC's resolver is right, but this device does not ask it"
        finally:
            installed.run("systemctl", "restart", TUNNEL)


def test_a_route_beside_the_tunnel_is_blamed_on_tcp(installed: Device) -> None:
    address = installed.doctor()["tcp"]["seen"].split(maxsplit=1)[0]
    with agent_stopped(installed):
        assert installed.run("ip", "route", "add", f"{address}/32", "dev", "wlan0").returncode == 0
        try:
            assert blames(installed, "tcp")["seen"] == f"{address} is reached through wlan0"
        finally:
            installed.run("ip", "route", "delete", f"{address}/32", "dev", "wlan0")


@pytest.mark.parametrize(
    ("field", "value", "check"), [("clientId", "pi-2", "mqtt"), ("topicPrefix", "private-iot/pi-2", "echo")]
)
def test_an_identity_that_the_policy_does_not_allow_is_blamed(
    installed: Device, field: str, value: str, check: str
) -> None:
    document = installed.run("cat", "/etc/private-iot/device.json").stdout
    write = ["sh", "-c", "cat > /etc/private-iot/device.json"]
    with agent_stopped(installed):
        installed.run(*write, stdin=json.dumps({**json.loads(document), field: value}))
        try:
            assert "not authorized" in blames(installed, check)["seen"]
        finally:
            installed.run(*write, stdin=document)


def test_a_vpn_certificate_that_has_expired_on_the_device_is_blamed_on_the_certificates(
    house: House, installed: Device
) -> None:
    expired = house.made.authority.issue("pi-1.private-iot.internal", expired=True)
    with agent_stopped(installed), vpn_identity(house, installed, expired):
        others = frozenset({"tunnel", "interface"})
        assert "expired" in blames(installed, "certificates", others=others)["seen"]


def test_a_vpn_certificate_of_another_authority_is_blamed_on_the_interface(house: House, installed: Device) -> None:
    foreign = Authority("another authority").issue("pi-1.private-iot.internal")
    with agent_stopped(installed), vpn_identity(house, installed, foreign):
        blames(installed, "interface")


@contextmanager
def vpn_identity(house: House, device: Device, issued: Issued) -> Iterator[None]:
    """Put another VPN certificate and key into the device's profile while the block runs."""
    mine, profile = house.made.devices["pi-1"].vpn, house.made.devices["pi-1"].config
    other = profile.replace(mine.pem.strip(), issued.pem.strip()).replace(mine.key_pem.strip(), issued.key_pem.strip())
    write = ["sh", "-c", "cat > /etc/openvpn/client/clientvpn.conf"]
    device.run(*write, stdin=other)
    device.run("systemctl", "restart", TUNNEL)
    try:
        yield
    finally:
        device.run(*write, stdin=profile)
        device.run("systemctl", "restart", TUNNEL)


def wait_for_tunnel(device: Device) -> None:
    """Wait until the tunnel's DNS server is in use."""
    done = device.run("timeout", "150", "sh", "-c", "until resolvectl dns tun0 | grep -q 10; do sleep 0.1; done")
    assert done.returncode == 0


# -- in the network ---------------------------------------------------------------------------------------------------

FAULTS = {
    "vpn-killed": "interface",
    "vpn-frozen": "interface",
    "internet-down": "home",
    "dns-down": "resolver",
    "endpoint-unreachable": "tcp",
    "certificate-expired": "tls",
    "broker-down": "mqtt",
    "clock-skew": "certificates",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_blamed_on_its_hop(house: House, installed: Device, fault: str) -> None:
    with agent_stopped(installed):
        with house.fault(fault):
            # Without its clock the stand-in for the tunnel's service may not come back at all.
            others = frozenset({"tunnel", "interface", "home", "public-way"} if fault == "clock-skew" else ())
            if FAULTS[fault] == "interface":
                # On a busy machine OpenVPN may notice a silent server after doctor has stopped waiting for that.
                wait_for(lambda: installed.doctor()["interface"]["result"] == "failed", "OpenVPN to notice", 300)
            row = blames(installed, FAULTS[fault], others=others)
            assert row["meaning"]
            assert row["remedy"]
        installed.run("systemctl", "restart", TUNNEL)


# -- in the cloud -----------------------------------------------------------------------------------------------------


class Cloud:
    """Changes of the cloud, each with the way back."""

    def __init__(self, house: House) -> None:
        self.aws, self.made = house.aws, house.made
        self.ec2 = house.aws.client("ec2")
        self.iot = house.aws.client("iot")
        self.device = house.made.devices["pi-1"]
        self.other_vpc = ""

    def revoke_authorization(self) -> None:
        self.ec2.revoke_client_vpn_ingress(
            ClientVpnEndpointId=self.made.client_vpn_endpoint_id, TargetNetworkCidr=VPC_CIDR, RevokeAllGroups=True
        )
        wait_for_client_vpn(self.aws, self.made.client_vpn_endpoint_id)

    def authorize(self) -> None:
        authorize(self.aws, self.made.client_vpn_endpoint_id)
        wait_for_client_vpn(self.aws, self.made.client_vpn_endpoint_id)

    def close_endpoint_group(self) -> None:
        permissions = mqtt_permissions(self.made.vpn_group_id)
        self.ec2.revoke_security_group_ingress(GroupId=self.made.endpoint_group_id, IpPermissions=permissions)

    def open_endpoint_group(self) -> None:
        permissions = mqtt_permissions(self.made.vpn_group_id)
        self.ec2.authorize_security_group_ingress(GroupId=self.made.endpoint_group_id, IpPermissions=permissions)

    def close_vpn_group(self) -> None:
        permissions = mqtt_permissions(self.made.endpoint_group_id)
        self.ec2.revoke_security_group_egress(GroupId=self.made.vpn_group_id, IpPermissions=permissions)

    def open_vpn_group(self) -> None:
        permissions = mqtt_permissions(self.made.endpoint_group_id)
        self.ec2.authorize_security_group_egress(GroupId=self.made.vpn_group_id, IpPermissions=permissions)

    def _record(self, action: str) -> None:
        endpoint = self.ec2.describe_vpc_endpoints(VpcEndpointIds=[self.made.vpc_endpoint_id])["VpcEndpoints"][0]
        entry = min(endpoint["DnsEntries"], key=lambda found: len(found["DnsName"]))
        change = alias_change(self.made.iot_endpoint, entry, action=action)
        self.aws.client("route53").change_resource_record_sets(
            HostedZoneId=self.made.hosted_zone_id, ChangeBatch={"Changes": [change]}
        )

    def delete_record(self) -> None:
        self._record("DELETE")

    def create_record(self) -> None:
        self._record("CREATE")

    def leave_zone(self) -> None:
        """Take the VPC out of its zone, which keeps another one (Route 53 API, LastVPCAssociation)."""
        self.other_vpc = self.ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
        self._associate("associate_vpc_with_hosted_zone", self.other_vpc)
        self._associate("disassociate_vpc_from_hosted_zone", self.made.vpc_id)

    def join_zone(self) -> None:
        self._associate("associate_vpc_with_hosted_zone", self.made.vpc_id)
        self._associate("disassociate_vpc_from_hosted_zone", self.other_vpc)
        self.ec2.delete_vpc(VpcId=self.other_vpc)

    def _associate(self, verb: str, vpc_id: str) -> None:
        vpc = {"VPCRegion": self.aws.region, "VPCId": vpc_id}
        getattr(self.aws.client("route53"), verb)(HostedZoneId=self.made.hosted_zone_id, VPC=vpc)

    def _dns_server(self, address: str) -> None:
        self.ec2.modify_client_vpn_endpoint(
            ClientVpnEndpointId=self.made.client_vpn_endpoint_id,
            DnsServers={"CustomDnsServers": [address], "Enabled": True},
        )

    def push_another_dns_server(self) -> None:
        self._dns_server("10.0.0.9")

    def push_dns_server(self) -> None:
        self._dns_server(DNS_SERVER)

    def _policy(self, vpc_endpoint_id: str | None) -> None:
        account = self.aws.client("sts").get_caller_identity()["Account"]
        document = json.dumps(policy_document(self.aws, account, vpc_endpoint_id))
        versions = self.iot.list_policy_versions(policyName=self.made.policy_name)["policyVersions"]
        for version in versions:
            if not version["isDefaultVersion"]:
                self.iot.delete_policy_version(policyName=self.made.policy_name, policyVersionId=version["versionId"])
        self.iot.create_policy_version(policyName=self.made.policy_name, policyDocument=document, setAsDefault=True)

    def open_policy(self) -> None:
        self._policy(None)

    def bind_policy_elsewhere(self) -> None:
        self._policy("vpce-00000000000000000")

    def bind_policy(self) -> None:
        self._policy(self.made.vpc_endpoint_id)

    def deactivate_certificate(self) -> None:
        self.iot.update_certificate(certificateId=self.device.certificate_id, newStatus="INACTIVE")

    def activate_certificate(self) -> None:
        self.iot.update_certificate(certificateId=self.device.certificate_id, newStatus="ACTIVE")

    def detach_policy(self) -> None:
        self.iot.detach_policy(policyName=self.made.policy_name, target=self.device.certificate_arn)

    def attach_policy(self) -> None:
        self.iot.attach_policy(policyName=self.made.policy_name, target=self.device.certificate_arn)

    def detach_thing(self) -> None:
        self.iot.detach_thing_principal(thingName="pi-1", principal=self.device.certificate_arn)

    def attach_thing(self) -> None:
        self.iot.attach_thing_principal(thingName="pi-1", principal=self.device.certificate_arn)


CHANGES = {
    "no rule in the endpoint's security group": (Cloud.close_endpoint_group, Cloud.open_endpoint_group, {"tcp"}),
    "no rule in the VPN's security group": (Cloud.close_vpn_group, Cloud.open_vpn_group, {"tcp"}),
    "no record in the private zone": (Cloud.delete_record, Cloud.create_record, {"resolver"}),
    "a zone that is not associated with the VPC": (Cloud.leave_zone, Cloud.join_zone, {"resolver"}),
    "another DNS server": (Cloud.push_another_dns_server, Cloud.push_dns_server, {"resolver"}),
    "a policy without the condition": (Cloud.open_policy, Cloud.bind_policy, {"public-way"}),
    "a policy bound to another endpoint": (Cloud.bind_policy_elsewhere, Cloud.bind_policy, {"mqtt"}),
    "an inactive certificate": (Cloud.deactivate_certificate, Cloud.activate_certificate, {"tls", "mqtt"}),
    "a certificate without the policy": (Cloud.detach_policy, Cloud.attach_policy, {"mqtt"}),
    "a certificate without the thing": (Cloud.detach_thing, Cloud.attach_thing, {"mqtt"}),
    # Split tunnel pushes the authorised routes, so that there may be none into the VPC.
    "no authorization rule": (Cloud.revoke_authorization, Cloud.authorize, {"interface", "resolver"}),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_in_the_cloud_is_blamed_on_its_hop(house: House, installed: Device, change: str) -> None:
    breaks, mends, checks = CHANGES[change]
    cloud = Cloud(house)
    with agent_stopped(installed):
        breaks(cloud)
        house.sync()
        if change == "another DNS server":
            # It is pushed when a connection begins.
            installed.run("systemctl", "restart", TUNNEL)
            wait_for_tunnel(installed)
        try:
            rows = installed.doctor()
            failed = [name for name, row in rows.items() if row["result"] == "failed"]
            assert len(failed) == 1, rows
            assert set(failed) <= checks, rows
        finally:
            mends(cloud)
            house.sync()
            installed.run("systemctl", "restart", TUNNEL)


def test_a_vpn_endpoint_without_an_association_is_blamed_on_the_interface(house: House, installed: Device) -> None:
    ec2, made = house.aws.client("ec2"), house.made
    associations = house.aws.pages(
        "ec2",
        "describe_client_vpn_target_networks",
        "ClientVpnTargetNetworks",
        ClientVpnEndpointId=made.client_vpn_endpoint_id,
    )
    with agent_stopped(installed):
        for association in associations:
            ec2.disassociate_client_vpn_target_network(
                ClientVpnEndpointId=made.client_vpn_endpoint_id, AssociationId=association["AssociationId"]
            )
        wait_for_client_vpn(house.aws, made.client_vpn_endpoint_id)
        house.sync()
        try:
            blames(installed, "interface")
        finally:
            ec2.associate_client_vpn_target_network(
                ClientVpnEndpointId=made.client_vpn_endpoint_id, SubnetId=made.subnet_id
            )
            wait_for_client_vpn(house.aws, made.client_vpn_endpoint_id)
            house.sync()
            installed.run("systemctl", "restart", TUNNEL)


@pytest.mark.parametrize("problem", ["a revoked certificate", "a revocation list that has expired"])
def test_a_revocation_is_blamed_on_the_interface(house: House, installed: Device, problem: str) -> None:
    made = house.made
    if problem == "a revoked certificate":
        revocations = made.authority.revoke(made.devices["pi-1"].vpn)
    else:
        revocations = made.authority.revoke(valid_for=-datetime.timedelta(days=1))
    with agent_stopped(installed):
        import_revocations(house, revocations)
        installed.run("systemctl", "restart", TUNNEL)
        try:
            blames(installed, "interface")
        finally:
            import_revocations(house, made.authority.revoke())
            installed.run("systemctl", "restart", TUNNEL)


def import_revocations(house: House, revocations: str) -> None:
    house.aws.client("ec2").import_client_vpn_client_certificate_revocation_list(
        ClientVpnEndpointId=house.made.client_vpn_endpoint_id, CertificateRevocationList=revocations
    )
    house.sync()
