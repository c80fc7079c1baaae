"""Client VPN endpoints: what AWS takes and refuses, what it shows, and the exported profile.

Cannot prove: the wording of those refusals that no public report quotes, nor how long a state lasts on AWS.
"""

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.engine.cloud.certificates import Pair, import_into, issue
from tests.engine.cloud.conftest import Network, make_group, refused, remove_endpoint

pytestmark = pytest.mark.engine

Make = Callable[..., str]


def describe(ec2: Any, endpoint_id: str) -> dict[str, Any]:
    endpoints = ec2.describe_client_vpn_endpoints(ClientVpnEndpointIds=[endpoint_id])["ClientVpnEndpoints"]
    assert len(endpoints) == 1
    endpoint: dict[str, Any] = endpoints[0]
    return endpoint


def test_an_endpoint_shows_what_was_asked_and_awss_defaults(ec2: Any, make_endpoint: Make, server_arn: str) -> None:
    endpoint_id = make_endpoint(Description="the walk-through's")
    endpoint = describe(ec2, endpoint_id)
    assert endpoint.pop("CreationTime")
    assert endpoint == {
        "ClientVpnEndpointId": endpoint_id,
        "Description": "the walk-through's",
        "Status": {"Code": "pending-associate"},
        "DnsName": f"*.{endpoint_id}.prod.clientvpn.ap-northeast-1.amazonaws.com",
        "ClientCidrBlock": "172.31.0.0/16",
        "DnsServers": [],
        "SplitTunnel": False,
        "VpnProtocol": "openvpn",
        "TransportProtocol": "udp",
        "VpnPort": 443,
        "AssociatedTargetNetworks": [],
        "ServerCertificateArn": server_arn,
        "AuthenticationOptions": [
            {"Type": "certificate-authentication", "MutualAuthentication": {"ClientRootCertificateChain": server_arn}}
        ],
        "ConnectionLogOptions": {"Enabled": False},
        "Tags": [],
        "SecurityGroupIds": [],
        "ClientConnectOptions": {"Enabled": False},
        "SessionTimeoutHours": 24,
        "ClientLoginBannerOptions": {"Enabled": False},
        "ClientRouteEnforcementOptions": {"Enforced": False},
        "DisconnectOnSessionTimeout": True,
        "EndpointIpAddressType": "ipv4",
        "TrafficIpAddressType": "ipv4",
    }


def test_an_endpoint_with_everything_set_shows_it(ec2: Any, client: Any, make_endpoint: Make, network: Network) -> None:
    client("logs").create_log_group(logGroupName="vpn")
    group_id = make_group(ec2, network.vpc_id, "vpn")
    endpoint_id = make_endpoint(
        VpcId=network.vpc_id,
        SecurityGroupIds=[group_id],
        DnsServers=["10.0.0.2", "10.0.0.3"],
        TransportProtocol="tcp",
        VpnPort=1194,
        SplitTunnel=True,
        SessionTimeoutHours=8,
        DisconnectOnSessionTimeout=False,
        SelfServicePortal="enabled",
        ClientLoginBannerOptions={"Enabled": True, "BannerText": "Hello"},
        ClientRouteEnforcementOptions={"Enforced": True},
        ConnectionLogOptions={"Enabled": True, "CloudwatchLogGroup": "vpn"},
        TagSpecifications=[{"ResourceType": "client-vpn-endpoint", "Tags": [{"Key": "Name", "Value": "vpn"}]}],
    )
    endpoint = describe(ec2, endpoint_id)
    assert endpoint["VpcId"] == network.vpc_id
    assert endpoint["SecurityGroupIds"] == [group_id]
    assert endpoint["DnsServers"] == ["10.0.0.2", "10.0.0.3"]
    assert (endpoint["TransportProtocol"], endpoint["VpnPort"]) == ("tcp", 1194)
    assert (endpoint["SplitTunnel"], endpoint["DisconnectOnSessionTimeout"]) == (True, False)
    assert endpoint["SessionTimeoutHours"] == 8
    assert endpoint["ClientLoginBannerOptions"] == {"Enabled": True, "BannerText": "Hello"}
    assert endpoint["ClientRouteEnforcementOptions"] == {"Enforced": True}
    assert endpoint["SelfServicePortalUrl"].endswith(endpoint_id)
    assert endpoint["Tags"] == [{"Key": "Name", "Value": "vpn"}]
    log = endpoint["ConnectionLogOptions"]
    assert (log["Enabled"], log["CloudwatchLogGroup"]) == (True, "vpn")
    logging = {"Enabled": True, "CloudwatchLogGroup": "vpn"}
    ec2.modify_client_vpn_endpoint(ClientVpnEndpointId=endpoint_id, ConnectionLogOptions=logging)
    assert describe(ec2, endpoint_id)["ConnectionLogOptions"] == log
    streams = client("logs").describe_log_streams(logGroupName="vpn")["logStreams"]
    assert [stream["logStreamName"] for stream in streams] == [log["CloudwatchLogStream"]]
    ec2.modify_client_vpn_endpoint(ClientVpnEndpointId=endpoint_id, ConnectionLogOptions={"Enabled": False})
    assert describe(ec2, endpoint_id)["ConnectionLogOptions"] == {"Enabled": False}


def test_a_vpc_without_groups_means_its_default_group(ec2: Any, make_endpoint: Make, network: Network) -> None:
    endpoint = describe(ec2, make_endpoint(VpcId=network.vpc_id))
    filters = [{"Name": "vpc-id", "Values": [network.vpc_id]}, {"Name": "group-name", "Values": ["default"]}]
    default = ec2.describe_security_groups(Filters=filters)["SecurityGroups"][0]["GroupId"]
    assert endpoint["SecurityGroupIds"] == [default]


@pytest.mark.parametrize("cidr", ["172.16.0.0/12", "172.31.0.0/22"])
def test_the_largest_and_the_smallest_client_cidr_are_taken(ec2: Any, make_endpoint: Make, cidr: str) -> None:
    assert describe(ec2, make_endpoint(ClientCidrBlock=cidr))["ClientCidrBlock"] == cidr


@pytest.mark.parametrize(
    ("parameters", "code", "words"),
    [
        ({"ClientCidrBlock": "172.0.0.0/11"}, "InvalidParameterValue", ("/11", "/12", "/22")),
        ({"ClientCidrBlock": "172.31.0.0/23"}, "InvalidParameterValue", ("/23", "/12", "/22")),
        ({"ClientCidrBlock": "172.31.0.1/16"}, "InvalidParameterValue", ("172.31.0.1/16",)),
        ({"DnsServers": ["10.0.0.2", "10.0.0.3", "10.0.0.4"]}, "InvalidParameterValue", ("2 DNS servers", "3")),
        ({"DnsServers": ["resolver"]}, "InvalidParameterValue", ("resolver",)),
        ({"VpnPort": 1195}, "InvalidParameterValue", ("VpnPort", "443, 1194", "1195")),
        ({"SessionTimeoutHours": 9}, "InvalidParameterValue", ("SessionTimeoutHours", "8, 10, 12, 24")),
        ({"TransportProtocol": "sctp"}, "InvalidParameterValue", ("TransportProtocol", "udp, tcp")),
        ({"ClientLoginBannerOptions": {"Enabled": True}}, "MissingParameter", ("BannerText",)),
        (
            {"ClientLoginBannerOptions": {"Enabled": True, "BannerText": "x" * 1401}},
            "InvalidParameterValue",
            ("1400", "1401"),
        ),
        ({"ConnectionLogOptions": {"Enabled": True}}, "MissingParameter", ("CloudwatchLogGroup",)),
        (
            {"ConnectionLogOptions": {"Enabled": True, "CloudwatchLogGroup": "none"}},
            "InvalidParameterValue",
            ("none",),
        ),
        ({"AuthenticationOptions": [{"Type": "certificate-authentication"}]}, "MissingParameter", ("Mutual",)),
        ({"SecurityGroupIds": ["sg-0123456789abcdef0"]}, "MissingParameter", ("VpcId",)),
        ({"VpcId": "vpc-0123456789abcdef0"}, "InvalidVpcID.NotFound", ("vpc-0123456789abcdef0",)),
        ({"TrafficIpAddressType": "ipv6"}, "UnsupportedOperation", ("TrafficIpAddressType",)),
    ],
)
def test_a_value_that_aws_refuses_is_refused_with_its_limit(
    ec2: Any, make_endpoint: Make, parameters: dict[str, Any], code: str, words: tuple[str, ...]
) -> None:
    before = ec2.describe_client_vpn_endpoints()["ClientVpnEndpoints"]
    with refused(code, *words):
        make_endpoint(**parameters)
    assert ec2.describe_client_vpn_endpoints()["ClientVpnEndpoints"] == before


def test_a_client_cidr_that_overlaps_the_vpc_is_refused(make_endpoint: Make, network: Network) -> None:
    with refused("InvalidParameterValue", "10.0.0.0/20", "10.0.0.0/16"):
        make_endpoint(ClientCidrBlock="10.0.0.0/20", VpcId=network.vpc_id)


def test_security_groups_of_another_vpc_are_refused(ec2: Any, make_endpoint: Make, network: Network) -> None:
    other = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    group_id = make_group(ec2, other, "other")
    with refused("InvalidParameterValue", group_id, network.vpc_id):
        make_endpoint(VpcId=network.vpc_id, SecurityGroupIds=[group_id])


def test_a_certificate_that_acm_does_not_know_is_refused(make_endpoint: Make, server_arn: str) -> None:
    with refused("InvalidParameterValue", f"{server_arn}0"):
        make_endpoint(ServerCertificateArn=f"{server_arn}0")
    with refused("InvalidParameterValue", f"{server_arn}1"):
        make_endpoint(
            AuthenticationOptions=[
                {
                    "Type": "certificate-authentication",
                    "MutualAuthentication": {"ClientRootCertificateChainArn": f"{server_arn}1"},
                }
            ]
        )


@pytest.mark.parametrize("name", ["server", "localhost"])
def test_a_server_certificate_without_a_domain_is_refused_in_awss_words(
    acm: Any, authority: Pair, make_endpoint: Make, name: str
) -> None:
    arn = import_into(acm, issue(name, authority), authority)
    with refused("InvalidParameterValue", f"Certificate {arn} does not have a domain"):
        make_endpoint(ServerCertificateArn=arn)


def test_a_domain_in_the_alternative_names_is_enough(ec2: Any, acm: Any, authority: Pair, make_endpoint: Make) -> None:
    arn = import_into(acm, issue("server", authority, dns_names=("vpn.example.com",)), authority)
    assert describe(ec2, make_endpoint(ServerCertificateArn=arn))["ServerCertificateArn"] == arn


@pytest.mark.parametrize(
    ("make_key", "words"),
    [
        (lambda: rsa.generate_private_key(public_exponent=65537, key_size=3072), ("3072", "1024 or 2048")),
        (lambda: ec.generate_private_key(ec.SECP256R1()), ("1024 or 2048",)),
    ],
)
def test_keys_other_than_rsa_of_1024_or_2048_bits_are_refused(
    acm: Any, authority: Pair, make_endpoint: Make, make_key: Callable[[], Any], words: tuple[str, ...]
) -> None:
    arn = import_into(acm, issue("server.vpn.example.com", authority, key=make_key()), authority)
    with refused("InvalidParameterValue", *words):
        make_endpoint(ServerCertificateArn=arn)


def test_a_region_has_five_endpoints_at_most(ec2: Any, make_endpoint: Make) -> None:
    for _ in range(5):
        make_endpoint()
    with refused("ClientVpnEndpointLimitExceeded", "5"):
        make_endpoint()


def test_the_same_client_token_gives_the_same_endpoint(ec2: Any, make_endpoint: Make) -> None:
    first = make_endpoint(ClientToken="once")
    assert make_endpoint(ClientToken="once") == first
    with refused("IdempotentParameterMismatch"):
        make_endpoint(ClientToken="once", SplitTunnel=True)
    assert len(ec2.describe_client_vpn_endpoints()["ClientVpnEndpoints"]) == 1


def test_a_dry_run_creates_nothing(ec2: Any, make_endpoint: Make) -> None:
    with refused("DryRunOperation"):
        make_endpoint(DryRun=True)
    assert ec2.describe_client_vpn_endpoints()["ClientVpnEndpoints"] == []


def test_what_can_change_in_place_changes(ec2: Any, acm: Any, authority: Pair, make_endpoint: Make) -> None:
    endpoint_id = make_endpoint(DnsServers=["10.0.0.2"])
    arn = import_into(acm, issue("other.vpn.example.com", authority), authority)
    changed = {
        "ServerCertificateArn": arn,
        "VpnPort": 1194,
        "Description": "changed",
        "SplitTunnel": True,
        "SessionTimeoutHours": 12,
        "ClientLoginBannerOptions": {"Enabled": True, "BannerText": "Hello"},
        "DisconnectOnSessionTimeout": False,
    }
    assert ec2.modify_client_vpn_endpoint(
        ClientVpnEndpointId=endpoint_id, DnsServers={"Enabled": True, "CustomDnsServers": ["10.0.0.3"]}, **changed
    )["Return"]
    endpoint = describe(ec2, endpoint_id)
    assert {name: endpoint[name] for name in changed} == changed
    assert endpoint["DnsServers"] == ["10.0.0.3"]
    ec2.modify_client_vpn_endpoint(ClientVpnEndpointId=endpoint_id, DnsServers={"Enabled": False})
    assert describe(ec2, endpoint_id)["DnsServers"] == []


def test_a_change_that_is_refused_changes_nothing(ec2: Any, make_endpoint: Make) -> None:
    endpoint_id = make_endpoint()
    before = describe(ec2, endpoint_id)
    with refused("InvalidParameterValue", "VpnPort"):
        ec2.modify_client_vpn_endpoint(ClientVpnEndpointId=endpoint_id, SplitTunnel=True, VpnPort=8443)
    with refused("InvalidParameterValue", "2 DNS servers"):
        ec2.modify_client_vpn_endpoint(
            ClientVpnEndpointId=endpoint_id, SplitTunnel=True, DnsServers={"CustomDnsServers": ["1.1.1.1"] * 3}
        )
    assert describe(ec2, endpoint_id) == before


def test_tags_are_made_shown_filtered_and_removed(ec2: Any, make_endpoint: Make) -> None:
    endpoint_id, other = make_endpoint(), make_endpoint()
    ec2.create_tags(Resources=[endpoint_id, other], Tags=[{"Key": "Environment", "Value": "dev"}])
    ec2.create_tags(Resources=[endpoint_id], Tags=[{"Key": "Name", "Value": "vpn-1"}])
    tags = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [endpoint_id]}])["Tags"]
    assert {(tag["Key"], tag["Value"], tag["ResourceType"]) for tag in tags} == {
        ("Environment", "dev", "client-vpn-endpoint"),
        ("Name", "vpn-1", "client-vpn-endpoint"),
    }
    found = ec2.describe_client_vpn_endpoints(Filters=[{"Name": "tag:Name", "Values": ["vpn-*"]}])
    assert [one["ClientVpnEndpointId"] for one in found["ClientVpnEndpoints"]] == [endpoint_id]
    ec2.delete_tags(Resources=[endpoint_id], Tags=[{"Key": "Name"}])
    assert describe(ec2, endpoint_id)["Tags"] == [{"Key": "Environment", "Value": "dev"}]
    with refused("InvalidClientVpnEndpointId.NotFound"):
        ec2.create_tags(Resources=["cvpn-endpoint-0123456789abcdef0"], Tags=[{"Key": "Name", "Value": "x"}])


def test_filters_choose_and_unknown_ones_are_refused(ec2: Any, make_endpoint: Make) -> None:
    udp, tcp = make_endpoint(), make_endpoint(TransportProtocol="tcp")

    def found(name: str, value: str) -> list[str]:
        answer = ec2.describe_client_vpn_endpoints(Filters=[{"Name": name, "Values": [value]}])
        return [one["ClientVpnEndpointId"] for one in answer["ClientVpnEndpoints"]]

    assert found("transport-protocol", "tcp") == [tcp]
    assert found("endpoint-id", udp) == [udp]
    with refused("InvalidParameterValue", "colour"):
        found("colour", "blue")


def test_an_unknown_endpoint_is_not_found_by_any_operation(ec2: Any) -> None:
    unknown = "cvpn-endpoint-0123456789abcdef0"
    with refused("InvalidClientVpnEndpointId.NotFound", unknown):
        ec2.describe_client_vpn_endpoints(ClientVpnEndpointIds=[unknown])
    operations: dict[str, dict[str, Any]] = {
        "delete_client_vpn_endpoint": {},
        "modify_client_vpn_endpoint": {"SplitTunnel": True},
        "export_client_vpn_client_configuration": {},
        "describe_client_vpn_target_networks": {},
        "describe_client_vpn_authorization_rules": {},
        "describe_client_vpn_routes": {},
        "describe_client_vpn_connections": {},
        "associate_client_vpn_target_network": {"SubnetId": "subnet-0123456789abcdef0"},
    }
    for operation, parameters in operations.items():
        with refused("InvalidClientVpnEndpointId.NotFound", unknown):
            getattr(ec2, operation)(ClientVpnEndpointId=unknown, **parameters)


def test_a_deleted_endpoint_is_seen_once_on_its_way_out_with_its_tags(ec2: Any, make_endpoint: Make) -> None:
    endpoint_id = make_endpoint()
    ec2.create_tags(Resources=[endpoint_id], Tags=[{"Key": "Name", "Value": "x"}])
    assert ec2.delete_client_vpn_endpoint(ClientVpnEndpointId=endpoint_id)["Status"]["Code"] == "deleting"
    assert describe(ec2, endpoint_id)["Status"]["Code"] == "deleting"
    with refused("InvalidClientVpnEndpointId.NotFound"):
        describe(ec2, endpoint_id)
    assert ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [endpoint_id]}])["Tags"] == []


def test_an_associated_endpoint_cannot_be_deleted(ec2: Any, make_endpoint: Make, network: Network) -> None:
    endpoint_id = make_endpoint()
    association_id = ec2.associate_client_vpn_target_network(
        ClientVpnEndpointId=endpoint_id, SubnetId=network.subnet_a
    )["AssociationId"]
    with refused("ClientVpnEndpointAssociationExists", association_id):
        ec2.delete_client_vpn_endpoint(ClientVpnEndpointId=endpoint_id)
    remove_endpoint(ec2, endpoint_id)
    with refused("InvalidClientVpnEndpointId.NotFound"):
        describe(ec2, endpoint_id)


def test_pages_have_every_endpoint_once(ec2: Any, make_endpoint: Make) -> None:
    made = [make_endpoint() for _ in range(5)]
    pages = ec2.get_paginator("describe_client_vpn_endpoints").paginate(PaginationConfig={"PageSize": 5})
    assert [one["ClientVpnEndpointId"] for page in pages for one in page["ClientVpnEndpoints"]] == made
    with refused("InvalidNextToken"):
        ec2.describe_client_vpn_endpoints(NextToken="nonsense")


def test_the_exported_profile_is_the_text_that_aws_exports(
    ec2: Any, acm: Any, authority: Pair, make_endpoint: Make
) -> None:
    middle = issue("middle.example.com", authority, is_authority=True)
    arn = import_into(acm, issue("server.vpn.example.com", middle), middle, authority)
    endpoint_id = make_endpoint(ServerCertificateArn=arn, TransportProtocol="tcp", VpnPort=1194)
    chain = middle.pem.decode() + authority.pem.decode()
    answer = ec2.export_client_vpn_client_configuration(ClientVpnEndpointId=endpoint_id)
    assert answer["ClientConfiguration"] == (
        "client\n"
        "dev tun\n"
        "proto tcp\n"
        f"remote {endpoint_id}.prod.clientvpn.ap-northeast-1.amazonaws.com 1194\n"
        "remote-random-hostname\n"
        "resolv-retry infinite\n"
        "nobind\n"
        "remote-cert-tls server\n"
        "cipher AES-256-GCM\n"
        "verb 3\n"
        "<ca>\n"
        f"{chain}"
        "\n"
        "</ca>\n"
        "\n"
        "\n"
        "reneg-sec 0\n"
        "\n"
        "verify-x509-name server.vpn.example.com name\n"
    )
