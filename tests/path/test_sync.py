"""`sync` touches only what changed: connections that a change does not concern stay as they are.

It cannot prove how AWS applies such changes to connections that are up.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.path.conftest import HandMadeLab
from tests.path.path_lab import UP, Identity, wait_for
from tests.path.walk_through_by_hand import Authority, wait_for_client_vpn

pytestmark = pytest.mark.path


def _server(lab: HandMadeLab) -> str:
    return f"client-vpn {lab.made.client_vpn_endpoint_id}"


def test_nothing_is_done_where_nothing_differs(path_lab: HandMadeLab) -> None:
    assert path_lab.sync() == []


def test_a_security_group_changes_one_packet_filter_and_no_connection(path_lab: HandMadeLab) -> None:
    ec2, group = path_lab.aws.client("ec2"), path_lab.made.endpoint_group_id
    permission = [{"IpProtocol": "tcp", "FromPort": 8443, "ToPort": 8443, "IpRanges": [{"CidrIp": "10.0.0.0/16"}]}]
    with path_lab.tunnel("pi-1") as output:
        seen = len(output.lines)
        ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=permission)
        try:
            assert path_lab.sync() == ["packet filter of vpc: replaced"]
            assert path_lab.pubsub("pi-1")["error"] is None
        finally:
            ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=permission)
            assert path_lab.sync() == ["packet filter of vpc: replaced"]
        assert output.lines[seen:] == []


def test_an_iot_policy_is_taken_up_by_the_gateway_alone(path_lab: HandMadeLab) -> None:
    iot, device = path_lab.aws.client("iot"), path_lab.made.devices["pi-1"]
    iot.detach_policy(policyName=path_lab.made.policy_name, target=device.certificate_arn)
    try:
        assert path_lab.sync() == ["service gateway: read again"]
    finally:
        iot.attach_policy(policyName=path_lab.made.policy_name, target=device.certificate_arn)
        assert path_lab.sync() == ["service gateway: read again"]


def test_a_plain_record_is_read_again_by_the_vpcs_resolver_alone(path_lab: HandMadeLab) -> None:
    route53, zone = path_lab.aws.client("route53"), path_lab.made.hosted_zone_id
    name = f"extra.{path_lab.iot_endpoint}"

    def change(action: str) -> None:
        record = {"Name": name, "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "10.0.1.99"}]}
        batch: Any = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
        route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)

    change("CREATE")
    try:
        assert path_lab.sync() == ["service vpc-dns: read again"]
        with path_lab.tunnel("pi-1"):
            wait_for(lambda: path_lab.resolve("pi-1", name) == ["10.0.1.99"], "the new record")
    finally:
        change("DELETE")
        path_lab.sync()


def test_a_thing_gets_a_host_of_its_own_that_no_other_notices(path_lab: HandMadeLab) -> None:
    iot = path_lab.aws.client("iot")
    with path_lab.tunnel("pi-1") as output:
        seen = len(output.lines)
        iot.create_thing(thingName="pi-2")
        try:
            changes = path_lab.sync()
            assert "host pi-2: added" in changes
            assert path_lab.run("pi-2", "hostname").stdout == "pi-2\n"
            assert path_lab.resolve("pi-2") == path_lab.hop("iot")["addresses"]
        finally:
            iot.delete_thing(thingName="pi-2")
            removed = path_lab.sync()
        assert "host pi-2: removed" in removed
        assert path_lab.pubsub("pi-1")["error"] is None
        assert output.lines[seen:] == []


def test_a_renewed_server_certificate_restarts_that_server_and_the_client_returns(path_lab: HandMadeLab) -> None:
    made, acm = path_lab.made, path_lab.aws.client("acm")
    renewed = made.authority.issue("server.clientvpn.private-iot.internal", server=True)
    with path_lab.tunnel("pi-1") as output:
        seen = len(output.lines)
        acm.import_certificate(
            CertificateArn=made.server_certificate_arn,
            Certificate=renewed.pem.encode(),
            PrivateKey=renewed.key_pem.encode(),
            CertificateChain=made.authority.pem.encode(),
        )
        assert path_lab.sync() == [f"service {_server(path_lab)}: restarted"]
        output.wait_for(UP, after=seen)


def test_a_second_endpoint_by_tcp_on_1194_with_full_tunnel_serves_beside_the_first(path_lab: HandMadeLab) -> None:
    ec2, acm = path_lab.aws.client("ec2"), path_lab.aws.client("acm")
    authority = Authority("a second VPN")
    server = authority.issue("server.second.private-iot.internal", server=True)
    arn = acm.import_certificate(
        Certificate=server.pem.encode(), PrivateKey=server.key_pem.encode(), CertificateChain=authority.pem.encode()
    )["CertificateArn"]
    made = path_lab.made
    endpoint = ec2.create_client_vpn_endpoint(
        ClientCidrBlock="10.200.0.0/20",
        ServerCertificateArn=arn,
        AuthenticationOptions=[
            {"Type": "certificate-authentication", "MutualAuthentication": {"ClientRootCertificateChainArn": arn}}
        ],
        ConnectionLogOptions={"Enabled": False},
        DnsServers=["10.0.0.2"],
        TransportProtocol="tcp",
        VpnPort=1194,
        SplitTunnel=False,
        VpcId=made.vpc_id,
        SecurityGroupIds=[made.vpn_group_id],
    )
    identifier = endpoint["ClientVpnEndpointId"]
    association = ec2.associate_client_vpn_target_network(ClientVpnEndpointId=identifier, SubnetId=made.subnet_id)
    ec2.authorize_client_vpn_ingress(
        ClientVpnEndpointId=identifier, TargetNetworkCidr="10.0.0.0/16", AuthorizeAllGroups=True
    )
    wait_for_client_vpn(path_lab.aws, identifier)
    client = authority.issue("pi-1.second.private-iot.internal")
    config = (
        made.devices["pi-1"]
        .config.replace(f"remote {_name(path_lab)} 443", f"remote {endpoint['DnsName'].removeprefix('*.')} 1194")
        .replace("proto udp", "proto tcp")
        .replace("verify-x509-name server.clientvpn.", "verify-x509-name server.second.")
        .replace(made.authority.pem.strip(), authority.pem.strip())
        .replace(made.devices["pi-1"].vpn.pem.strip(), client.pem.strip())
        .replace(made.devices["pi-1"].vpn.key_pem.strip(), client.key_pem.strip())
    )
    try:
        changes = path_lab.sync()
        assert f"service client-vpn {identifier}: started" in changes
        assert f"service {_server(path_lab)}: restarted" not in changes
        device = made.devices["pi-1"]
        path_lab.give(Identity("pi-1", config, device.certificate_pem, device.key_pem))
        with path_lab.tunnel("pi-1") as output:
            pushed = output.wait_for("PUSH: Received control message")
            assert "redirect-gateway def1 bypass-dhcp" in pushed
            assert "route 10.0.0.0 255.255.0.0" not in pushed
            assert path_lab.pubsub("pi-1")["error"] is None
            # Every address goes into the tunnel, and what no authorization rule covers ends there.
            assert not path_lab.reaches("pi-1", path_lab.hop("iot")["addresses"][0], seconds=1)
    finally:
        device = made.devices["pi-1"]
        path_lab.give(Identity("pi-1", device.config, device.certificate_pem, device.key_pem))
        ec2.disassociate_client_vpn_target_network(
            ClientVpnEndpointId=identifier, AssociationId=association["AssociationId"]
        )
        wait_for_client_vpn(path_lab.aws, identifier)
        ec2.delete_client_vpn_endpoint(ClientVpnEndpointId=identifier)
        acm.delete_certificate(CertificateArn=arn)
        path_lab.sync()


def _name(lab: HandMadeLab) -> str:
    (endpoint,) = lab.aws.client("ec2").describe_client_vpn_endpoints(
        ClientVpnEndpointIds=[lab.made.client_vpn_endpoint_id]
    )["ClientVpnEndpoints"]
    return str(endpoint["DnsName"].removeprefix("*."))
