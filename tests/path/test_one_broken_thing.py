"""One broken thing at a time, changed in the cloud with boto3 and synced: the path breaks at that hop.

Hops before the broken one still work, which each test shows too. It cannot prove how fast AWS applies such a change,
nor the texts of AWS's own answers.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.path.conftest import HandMadeLab
from tests.path.path_lab import UP
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

pytestmark = pytest.mark.path

HANGUP = "AWS_ERROR_MQTT_UNEXPECTED_HANGUP"
NOT_AUTHORIZED = 0x87
# A profile that gives up instead of trying for ever, for tests of a server that does not answer.
IMPATIENT = ("--hand-window", "3", "--connect-retry-max", "1")


@pytest.fixture
def ec2(path_lab: HandMadeLab) -> Any:
    return path_lab.aws.client("ec2")


@contextmanager
def synced(lab: HandMadeLab) -> Iterator[None]:
    """Follow the cloud before the block; after it whoever mended the cloud syncs again."""
    assert lab.sync() != [], "the change reached no part of the network"
    yield


# -- Client VPN --------------------------------------------------------------------------------------------------------


def test_without_an_authorization_rule_nothing_leaves_the_tunnel(path_lab: HandMadeLab, ec2: Any) -> None:
    endpoint = path_lab.made.client_vpn_endpoint_id
    ec2.revoke_client_vpn_ingress(ClientVpnEndpointId=endpoint, TargetNetworkCidr=VPC_CIDR, RevokeAllGroups=True)
    try:
        with synced(path_lab), path_lab.tunnel("pi-1"):
            assert path_lab.resolve("pi-1", seconds=3) == []
            assert not path_lab.reaches("pi-1", path_lab.hop("vpc-endpoint")["addresses"][0], seconds=1)
            assert path_lab.counter("client-vpn", "authorization", "no authorization rule") > 0
    finally:
        authorize(path_lab.aws, endpoint)
        wait_for_client_vpn(path_lab.aws, endpoint)
        path_lab.sync()


def test_without_an_association_the_endpoint_does_not_answer(path_lab: HandMadeLab, ec2: Any) -> None:
    endpoint, made = path_lab.made.client_vpn_endpoint_id, path_lab.made
    ec2.disassociate_client_vpn_target_network(ClientVpnEndpointId=endpoint, AssociationId=made.association_id)
    try:
        wait_for_client_vpn(path_lab.aws, endpoint)
        with synced(path_lab), path_lab.openvpn("pi-1", *IMPATIENT) as output:
            output.wait_for("TLS key negotiation failed to occur within 3 seconds")
            assert "TLS: Initial packet" not in output.text
    finally:
        answer = ec2.associate_client_vpn_target_network(ClientVpnEndpointId=endpoint, SubnetId=made.subnet_id)
        made.association_id = answer["AssociationId"]
        wait_for_client_vpn(path_lab.aws, endpoint)
        path_lab.sync()


def _refused(lab: HandMadeLab, client: Issued, reason: str) -> None:
    """Show that the server refuses a client's certificate in the TLS handshake."""
    device = lab.made.devices["pi-1"]
    config = device.config.replace(device.vpn.pem.strip(), client.pem.strip())
    config = config.replace(device.vpn.key_pem.strip(), client.key_pem.strip())
    lab.write("pi-1", "/etc/openvpn/client/other.conf", config)
    log = lab.lab.path_directory / "log" / f"client-vpn_{lab.made.client_vpn_endpoint_id}.log"
    before = len(log.read_text())
    with lab.openvpn("pi-1", *IMPATIENT, config="/etc/openvpn/client/other.conf") as output:
        output.wait_for("TLS Error", "TLS key negotiation failed", "SIGUSR1", "AUTH_FAILED", "Exiting")
        assert UP not in output.text
    said = log.read_text()[before:]
    assert "VERIFY ERROR" in said
    assert reason in said
    assert lab.hop("client-vpn")["connections"] == []


def test_a_client_certificate_of_another_authority_is_refused(path_lab: HandMadeLab) -> None:
    _refused(path_lab, Authority("another authority").issue("pi-1.private-iot.internal"), "unable to get local issuer")


def test_a_client_certificate_that_has_expired_is_refused(path_lab: HandMadeLab) -> None:
    client = path_lab.made.authority.issue("pi-1.private-iot.internal", expired=True)
    _refused(path_lab, client, "certificate has expired")


def test_a_revoked_client_certificate_is_refused_and_others_are_not(path_lab: HandMadeLab, ec2: Any) -> None:
    authority, endpoint = path_lab.made.authority, path_lab.made.client_vpn_endpoint_id
    revoked = authority.issue("stolen.private-iot.internal")
    ec2.import_client_vpn_client_certificate_revocation_list(
        ClientVpnEndpointId=endpoint, CertificateRevocationList=authority.revoke(revoked)
    )
    with synced(path_lab):
        _refused(path_lab, revoked, "certificate revoked")
        with path_lab.tunnel("pi-1"):
            assert path_lab.pubsub("pi-1", count=1)["error"] is None


def test_a_new_revocation_list_resets_the_connections_that_are_up(path_lab: HandMadeLab, ec2: Any) -> None:
    with path_lab.tunnel("pi-1") as output:
        seen = len(output.lines)
        ec2.import_client_vpn_client_certificate_revocation_list(
            ClientVpnEndpointId=path_lab.made.client_vpn_endpoint_id,
            CertificateRevocationList=path_lab.made.authority.revoke(),
        )
        with synced(path_lab):
            output.wait_for("server-pushed", "Connection reset", "restarting", after=seen)
            output.wait_for(UP, after=seen)


def test_a_revocation_list_that_has_expired_blocks_every_client(path_lab: HandMadeLab, ec2: Any) -> None:
    authority, endpoint = path_lab.made.authority, path_lab.made.client_vpn_endpoint_id
    expired = authority.revoke(valid_for=-datetime.timedelta(days=1))
    ec2.import_client_vpn_client_certificate_revocation_list(
        ClientVpnEndpointId=endpoint, CertificateRevocationList=expired
    )
    try:
        with synced(path_lab):
            _refused(path_lab, path_lab.made.devices["pi-1"].vpn, "CRL has expired")
    finally:
        ec2.import_client_vpn_client_certificate_revocation_list(
            ClientVpnEndpointId=endpoint, CertificateRevocationList=authority.revoke()
        )
        path_lab.sync()


# -- security groups ---------------------------------------------------------------------------------------------------


def _no_way_to_the_endpoint(lab: HandMadeLab, rule: str) -> None:
    """Show that the tunnel and DNS work, and that a connection ends at a security group without an answer."""
    before = lab.counter("vpc", "securityGroups", rule)
    with lab.tunnel("pi-1"):
        (address,) = lab.resolve("pi-1")
        assert address == lab.hop("vpc-endpoint")["addresses"][0]
        assert not lab.reaches("pi-1", address, seconds=1)
    assert lab.counter("vpc", "securityGroups", rule) > before


def test_without_the_rule_of_the_endpoints_group_nothing_comes_in(path_lab: HandMadeLab, ec2: Any) -> None:
    made = path_lab.made
    permissions = mqtt_permissions(made.vpn_group_id)
    ec2.revoke_security_group_ingress(GroupId=made.endpoint_group_id, IpPermissions=permissions)
    try:
        with synced(path_lab):
            _no_way_to_the_endpoint(path_lab, f"no inbound rule of {made.vpc_endpoint_id}")
    finally:
        ec2.authorize_security_group_ingress(GroupId=made.endpoint_group_id, IpPermissions=permissions)
        path_lab.sync()


def test_without_the_rule_of_the_vpns_group_nothing_goes_out(path_lab: HandMadeLab, ec2: Any) -> None:
    made = path_lab.made
    permissions = mqtt_permissions(made.endpoint_group_id)
    ec2.revoke_security_group_egress(GroupId=made.vpn_group_id, IpPermissions=permissions)
    try:
        with synced(path_lab):
            _no_way_to_the_endpoint(path_lab, f"no outbound rule of {made.client_vpn_endpoint_id}")
    finally:
        ec2.authorize_security_group_egress(GroupId=made.vpn_group_id, IpPermissions=permissions)
        path_lab.sync()


# -- DNS ---------------------------------------------------------------------------------------------------------------


def test_a_zone_that_is_not_associated_with_the_vpc_leaves_the_public_address(path_lab: HandMadeLab, ec2: Any) -> None:
    route53, zone = path_lab.aws.client("route53"), path_lab.made.hosted_zone_id
    other = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
    own = {"VPCRegion": path_lab.aws.region, "VPCId": path_lab.made.vpc_id}
    # A private zone keeps one VPC at least (Route 53 API, LastVPCAssociation).
    route53.associate_vpc_with_hosted_zone(HostedZoneId=zone, VPC={**own, "VPCId": other})
    route53.disassociate_vpc_from_hosted_zone(HostedZoneId=zone, VPC=own)
    try:
        with synced(path_lab), path_lab.tunnel("pi-1"):
            assert path_lab.resolve("pi-1") == path_lab.hop("iot")["addresses"]
            assert HANGUP in path_lab.pubsub("pi-1", mqtt="3")["error"]
    finally:
        route53.associate_vpc_with_hosted_zone(HostedZoneId=zone, VPC=own)
        route53.disassociate_vpc_from_hosted_zone(HostedZoneId=zone, VPC={**own, "VPCId": other})
        ec2.delete_vpc(VpcId=other)
        path_lab.sync()


def test_a_zone_without_its_record_hides_the_name(path_lab: HandMadeLab, ec2: Any) -> None:
    route53, zone, name = path_lab.aws.client("route53"), path_lab.made.hosted_zone_id, path_lab.iot_endpoint
    entries = ec2.describe_vpc_endpoints(VpcEndpointIds=[path_lab.vpc_endpoint_id])["VpcEndpoints"][0]["DnsEntries"]
    entry = min(entries, key=lambda item: len(item["DnsName"]))
    removal = {"Changes": [alias_change(name, entry, action="DELETE")]}
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=removal)
    try:
        with synced(path_lab), path_lab.tunnel("pi-1"):
            assert path_lab.resolve("pi-1", seconds=3) == []
            # The resolver itself answers, and the way to the endpoint is open: the name alone is missing.
            assert path_lab.resolve("pi-1", entry["DnsName"]) == path_lab.hop("vpc-endpoint")["addresses"]
            assert path_lab.reaches("pi-1", path_lab.hop("vpc-endpoint")["addresses"][0])
    finally:
        route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [alias_change(name, entry)]})
        path_lab.sync()


def test_a_wrong_dns_server_leaves_the_name_unresolved(path_lab: HandMadeLab, ec2: Any) -> None:
    endpoint = path_lab.made.client_vpn_endpoint_id

    def set_server(address: str) -> None:
        servers = {"CustomDnsServers": [address], "Enabled": True}
        ec2.modify_client_vpn_endpoint(ClientVpnEndpointId=endpoint, DnsServers=servers)

    set_server("10.0.0.9")
    try:
        with synced(path_lab), path_lab.tunnel("pi-1"):
            assert path_lab.hop("device")["dns"]["tun0"][0] == "10.0.0.9"
            assert path_lab.resolve("pi-1", seconds=3) == []
            assert path_lab.reaches("pi-1", path_lab.hop("vpc-endpoint")["addresses"][0])
    finally:
        set_server(DNS_SERVER)
        path_lab.sync()


# -- AWS IoT -----------------------------------------------------------------------------------------------------------


@contextmanager
def policy(lab: HandMadeLab, document: dict[str, Any]) -> Iterator[None]:
    """Put a policy in the place of the device's while the block runs."""
    iot, name = lab.aws.client("iot"), lab.made.policy_name
    before = iot.get_policy(policyName=name)["defaultVersionId"]
    version = iot.create_policy_version(policyName=name, policyDocument=json.dumps(document), setAsDefault=True)
    try:
        with synced(lab):
            yield
    finally:
        iot.set_default_policy_version(policyName=name, policyVersionId=before)
        iot.delete_policy_version(policyName=name, policyVersionId=version["policyVersionId"])
        lab.sync()


def _account(lab: HandMadeLab) -> str:
    return str(lab.aws.client("sts").get_caller_identity()["Account"])


def test_a_policy_without_the_condition_opens_the_public_way(path_lab: HandMadeLab) -> None:
    with policy(path_lab, policy_document(path_lab.aws, _account(path_lab), None)):
        assert path_lab.resolve("pi-1") == path_lab.hop("iot")["addresses"]
        outcome = path_lab.pubsub("pi-1")
    assert (outcome["error"], len(outcome["received"])) == (None, 10)


def _denied(lab: HandMadeLab, **arguments: Any) -> None:
    """Show that the way to AWS IoT is whole and that it does not authorize the connection."""
    with lab.tunnel("pi-1"):
        assert lab.resolve("pi-1") == lab.hop("vpc-endpoint")["addresses"]
        assert HANGUP in lab.pubsub("pi-1", mqtt="3", **arguments)["error"]
        outcome = lab.pubsub("pi-1", mqtt="5", **arguments)
        assert (outcome["connected"], outcome["reasonCode"]) == (False, NOT_AUTHORIZED)


def test_a_policy_bound_to_another_endpoint_denies_the_connection(path_lab: HandMadeLab) -> None:
    with policy(path_lab, policy_document(path_lab.aws, _account(path_lab), "vpce-0123456789abcdef0")):
        _denied(path_lab)


def test_a_certificate_without_a_policy_is_denied_the_connection(path_lab: HandMadeLab) -> None:
    iot, device = path_lab.aws.client("iot"), path_lab.made.devices["pi-1"]
    iot.detach_policy(policyName=path_lab.made.policy_name, target=device.certificate_arn)
    try:
        with synced(path_lab):
            _denied(path_lab)
    finally:
        iot.attach_policy(policyName=path_lab.made.policy_name, target=device.certificate_arn)
        path_lab.sync()


def test_a_certificate_that_is_attached_to_no_thing_is_denied_the_connection(path_lab: HandMadeLab) -> None:
    iot, device = path_lab.aws.client("iot"), path_lab.made.devices["pi-1"]
    iot.detach_thing_principal(thingName=device.name, principal=device.certificate_arn)
    try:
        with synced(path_lab):
            _denied(path_lab)
    finally:
        iot.attach_thing_principal(thingName=device.name, principal=device.certificate_arn)
        path_lab.sync()


def test_an_inactive_certificate_is_refused_in_the_tls_handshake(path_lab: HandMadeLab) -> None:
    iot, device = path_lab.aws.client("iot"), path_lab.made.devices["pi-1"]
    iot.update_certificate(certificateId=device.certificate_id, newStatus="INACTIVE")
    try:
        with synced(path_lab), path_lab.tunnel("pi-1"):
            assert path_lab.reaches("pi-1", path_lab.resolve("pi-1")[0])
            before = path_lab.hop("iot")["status"]["counters"]["refusedHandshakes"]
            outcome = path_lab.pubsub("pi-1")
            # No CONNACK came: the connection ended before MQTT began.
            assert (outcome["connected"], outcome["reasonCode"]) == (False, None)
            assert path_lab.hop("iot")["status"]["counters"]["refusedHandshakes"] > before
    finally:
        iot.update_certificate(certificateId=device.certificate_id, newStatus="ACTIVE")
        path_lab.sync()


def test_a_client_id_that_is_not_the_things_name_is_denied(path_lab: HandMadeLab) -> None:
    _denied(path_lab, client_id="pi-2")


def test_a_topic_outside_the_prefix_is_denied(path_lab: HandMadeLab) -> None:
    with path_lab.tunnel("pi-1"):
        outcome = path_lab.pubsub("pi-1", mqtt="5", topic="private-iot/pi-2/test")
        assert (outcome["connected"], outcome["reasonCode"], outcome["received"]) == (True, NOT_AUTHORIZED, [])
        older = path_lab.pubsub("pi-1", mqtt="3", topic="private-iot/pi-2/test")
        assert (older["connected"], older["received"]) == (True, [])
        # The SDK tells of the hang-up itself, or of the subscription that it took along.
        assert HANGUP in older["error"] or "CANCELLED_FOR_CLEAN_SESSION" in older["error"]
    assert path_lab.hop("iot")["status"]["counters"]["denied"]["iot:Subscribe"]["count"] >= 2
