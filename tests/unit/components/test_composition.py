"""The four components as a whole: numbers, parents, secrets, order, absence, previews, providers.

Cannot prove that an engine carries the order out, nor that AWS needs it; the engine tier runs the real engine.
"""

import ipaddress
import re
from collections.abc import Iterator
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest
from private_iot import PrivateIotNetwork

from tests.unit.components.compose import composition
from tests.unit.components.monitor import (
    PRIVATE_KEY_MARK,
    UNKNOWN,
    Deployment,
    Registration,
    Secret,
    deploy,
    export,
    exposed_texts,
    plain,
)

ONCE = {
    "private-iot:index:PrivateIotNetwork": 1,
    "private-iot:index:IotPrivateLink": 1,
    "private-iot:index:ClientVpnAccess": 1,
    "pulumi-python:dynamic/private-iot:CertificateRegister": 1,
    "pulumi-python:dynamic/private-iot:ImportedRevocationList": 1,
    "aws:ec2/vpc:Vpc": 1,
    "aws:ec2/routeTable:RouteTable": 1,
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": 1,
    "aws:ec2/securityGroup:SecurityGroup": 2,
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": 2,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": 2,
    "aws:ec2/vpcEndpoint:VpcEndpoint": 1,
    "aws:route53/zone:Zone": 1,
    "aws:route53/record:Record": 1,
    "aws:iot/policy:Policy": 1,
    "aws:acm/certificate:Certificate": 1,
    "aws:cloudwatch/logGroup:LogGroup": 1,
    "aws:ec2clientvpn/endpoint:Endpoint": 1,
    "aws:ec2clientvpn/authorizationRule:AuthorizationRule": 1,
    "tls:index/selfSignedCert:SelfSignedCert": 1,
    "tls:index/privateKey:PrivateKey": 2,
    "tls:index/certRequest:CertRequest": 1,
    "tls:index/locallySignedCert:LocallySignedCert": 1,
}
"""What there is whatever the number of zones and devices."""
A_ZONE = {
    "aws:ec2/subnet:Subnet": 1,
    "aws:ec2/routeTableAssociation:RouteTableAssociation": 1,
    "aws:ec2clientvpn/networkAssociation:NetworkAssociation": 1,
}
A_DEVICE = {
    "private-iot:index:IotDevice": 1,
    "tls:index/privateKey:PrivateKey": 2,
    "tls:index/certRequest:CertRequest": 2,
    "tls:index/locallySignedCert:LocallySignedCert": 1,
    "aws:iot/thing:Thing": 1,
    "aws:iot/certificate:Certificate": 1,
    "aws:iot/policyAttachment:PolicyAttachment": 1,
    "aws:iot/thingPrincipalAttachment:ThingPrincipalAttachment": 1,
    "pulumi-python:dynamic/private-iot:ThingDetachment": 1,
}
DEVICES = ("pi-1", "pi-2")


@pytest.fixture(scope="module")
def deployed() -> Deployment:
    return deploy(composition(DEVICES, network={"availability_zone_count": 2}))


@pytest.fixture(scope="module")
def whole() -> Deployment:
    """One zone and one device, as no argument asks for more."""
    return deploy(composition())


def expected(zones: int, devices: int) -> dict[str, int]:
    total = dict(ONCE)
    for each, times in ((A_ZONE, zones), (A_DEVICE, devices)):
        for kind, number in each.items():
            total[kind] = total.get(kind, 0) + number * times
    return {kind: number for kind, number in total.items() if number}


@pytest.mark.parametrize(("zones", "devices"), [(1, 0), (1, 1), (2, 2)])
def test_the_resources_are_exactly_these(zones: int, devices: int) -> None:
    deployed = deploy(composition(DEVICES[:devices], network={"availability_zone_count": zones}))
    assert dict(deployed.counts()) == expected(zones, devices)


def test_every_child_lies_under_its_component_and_carries_its_name(deployed: Deployment) -> None:
    components = {one.urn: one for one in deployed.registrations if not one.custom}
    stack = "urn:pulumi:test::private-iot::pulumi:pulumi:Stack::private-iot-test"
    assert {one.parent for one in components.values()} == {stack}
    for one in deployed.registrations:
        if one.custom:
            assert one.name.startswith(f"{components[one.parent].name}-"), one.urn


def test_no_two_resources_share_a_urn(deployed: Deployment) -> None:
    assert len({one.urn for one in deployed.registrations}) == len(deployed.registrations)


def name_tag(deployed: Deployment, one: Registration) -> str:
    """The resource's own name; a subnet, known by its zone, has the walk-through's."""
    subnets = deployed.of("Subnet")
    return f"private-iot-vpc-subnet-{subnets.index(one) + 1}" if one in subnets else one.name


def test_everything_that_takes_tags_has_a_name_tag(deployed: Deployment) -> None:
    tagged = [one for one in deployed.registrations if "tags" in one.inputs]
    assert {one.type.rsplit(":", 1)[1] for one in tagged} == {
        "Vpc",
        "Subnet",
        "RouteTable",
        "DefaultSecurityGroup",
        "SecurityGroup",
        "SecurityGroupEgressRule",
        "SecurityGroupIngressRule",
        "VpcEndpoint",
        "Zone",
        "Policy",
        "Certificate",
        "LogGroup",
        "Endpoint",
    }
    for one in tagged:
        assert plain(one.inputs)["tags"] == {"Name": name_tag(deployed, one)}


def test_given_tags_are_on_every_resource_that_takes_them() -> None:
    tags = {"project": "private-iot", "owner": "plant"}
    arguments = {"tags": tags}
    deployed = deploy(composition(network=arguments, private_link=arguments, client_vpn=arguments))
    for one in deployed.registrations:
        if "tags" in one.inputs:
            assert plain(one.inputs)["tags"] == {**tags, "Name": name_tag(deployed, one)}


def test_every_component_registers_its_outputs_once_and_those_with_keys_never(deployed: Deployment) -> None:
    outputs = {
        one.type.rsplit(":", 1)[1]: deployed.component_outputs[one.urn]
        for one in deployed.registrations
        if not one.custom
    }
    assert {kind: sorted(values) for kind, values in outputs.items()} == {
        "PrivateIotNetwork": [
            "availabilityZones",
            "clientVpnSecurityGroupId",
            "dnsServer",
            "endpointSecurityGroupId",
            "subnetIds",
            "vpcCidrBlock",
            "vpcId",
        ],
        "IotPrivateLink": [
            "defaultTopicPrefix",
            "iotEndpoint",
            "knownToDevices",
            "policyDocument",
            "policyName",
            "region",
            "topicPrefix",
            "vpcEndpointId",
        ],
        "ClientVpnAccess": ["clientVpnEndpointId", "dnsServers", "knownToDevices", "serverCertificateArn"],
        "IotDevice": ["certificateArn", "certificateId", "thingName"],
    }


def places_of_keys(deployed: Deployment) -> Iterator[tuple[str, Any]]:
    for one in deployed.registrations:
        yield one.urn, one.inputs
    yield from deployed.component_outputs.items()
    yield "stack", deployed.stack_outputs


def test_no_private_key_stands_in_a_plain_input_or_output(deployed: Deployment) -> None:
    seen = 0
    for place, values in places_of_keys(deployed):
        assert not [text for text in exposed_texts(values) if PRIVATE_KEY_MARK in text], place
        seen += sum(PRIVATE_KEY_MARK in text for text in exposed_texts(plain(values)))
    assert seen > 12, "the keys do travel; otherwise this test would prove nothing"


def test_the_private_outputs_of_the_keys_are_secrets_to_the_engine(deployed: Deployment) -> None:
    for key in deployed.of("PrivateKey"):
        assert {"privateKeyPem", "privateKeyPemPkcs8"} <= key.secret_outputs


def test_the_authoritys_key_leaves_its_component_nowhere(deployed: Deployment) -> None:
    key = deployed.one("PrivateKey", "private-iot-ca-key").state["privateKeyPem"]
    carriers = {one.type for one in deployed.registrations if key in [*exposed_texts(plain(one.inputs))]}
    assert carriers == {"tls:index/selfSignedCert:SelfSignedCert", "tls:index/locallySignedCert:LocallySignedCert"}
    for values in (*deployed.component_outputs.values(), deployed.stack_outputs):
        assert not [text for text in exposed_texts(plain(values)) if key in text]


def test_each_device_gets_its_own_keys_and_nobody_elses(deployed: Deployment) -> None:
    bundles = plain(deployed.stack_outputs["bundles"])
    for name, other in (DEVICES, DEVICES[::-1]):
        text = "".join(exposed_texts(bundles[name]))
        for kind in (f"{name}-key", f"private-iot-client-{name}-key"):
            assert deployed.one("PrivateKey", kind).state["privateKeyPem"] in text
        for kind in (f"{other}-key", f"private-iot-client-{other}-key"):
            assert deployed.one("PrivateKey", kind).state["privateKeyPem"] not in text


def depends(deployed: Deployment, later: Registration, earlier: Registration) -> bool:
    """Whether the engine will not make `later` before `earlier`, directly or through others."""
    by_urn = {one.urn: one for one in deployed.registrations}
    pending, seen = [later.urn], set[str]()
    while pending:
        urn = pending.pop()
        if urn in seen or urn not in by_urn:
            continue
        seen.add(urn)
        pending.extend(by_urn[urn].dependencies)
    return earlier.urn in seen


@pytest.mark.parametrize(
    ("later", "earlier"),
    [
        ("AuthorizationRule", "NetworkAssociation"),
        ("NetworkAssociation", "Endpoint"),
        ("Endpoint", "LogGroup"),
        ("Endpoint", "LocallySignedCert:private-iot-server-certificate"),
        ("Endpoint", "Certificate:private-iot-server"),
        ("Endpoint", "SecurityGroup:private-iot-sg-clientvpn"),
        ("Record", "VpcEndpoint"),
        ("Record", "Zone"),
        ("Policy", "VpcEndpoint"),
        ("PolicyAttachment", "Policy"),
        ("PolicyAttachment", "Certificate:pi-1-certificate"),
        ("ThingPrincipalAttachment", "ThingDetachment"),
        ("ThingDetachment", "Thing"),
        ("ThingDetachment", "Certificate:pi-1-certificate"),
        ("ThingPrincipalAttachment", "Thing"),
        ("ThingPrincipalAttachment", "Certificate:pi-1-certificate"),
        ("DefaultSecurityGroup", "Vpc"),
    ],
)
def test_creation_is_ordered(whole: Deployment, later: str, earlier: str) -> None:
    one, other = (whole.one(*name.split(":")) for name in (later, earlier))
    assert depends(whole, one, other)
    assert not depends(whole, other, one)


def test_the_authorization_waits_for_every_association(deployed: Deployment) -> None:
    associations = {one.urn for one in deployed.of("NetworkAssociation")}
    assert len(associations) == 2
    assert associations <= deployed.one("AuthorizationRule").dependencies


FORBIDDEN = re.compile("gateway|peering|route:route$|clientvpn/route:|eip|publicip", re.IGNORECASE)


def test_there_is_no_gateway_and_no_route_out(deployed: Deployment) -> None:
    assert [one.type for one in deployed.registrations if FORBIDDEN.search(one.type)] == []
    assert plain(deployed.one("RouteTable").inputs)["routes"] == []
    tables = {plain(one.inputs)["routeTableId"] for one in deployed.of("RouteTableAssociation")}
    assert tables == {deployed.one("RouteTable").state["id"]}


def test_nothing_is_open_to_an_address(deployed: Deployment) -> None:
    """No rule names addresses at all, and no resource names 0.0.0.0/0 or ::/0."""
    for one in (*deployed.of("SecurityGroupIngressRule"), *deployed.of("SecurityGroupEgressRule")):
        assert not {"cidrIpv4", "cidrIpv6", "prefixListId"} & set(one.inputs)
    for one in deployed.registrations:
        for text in exposed_texts(plain(one.inputs)):
            if re.fullmatch(r"[0-9a-f.:]+/\d+", text):
                assert ipaddress.ip_network(text).prefixlen > 0, one.urn


def test_the_default_security_group_is_emptied(deployed: Deployment) -> None:
    assert plain(deployed.one("DefaultSecurityGroup").inputs) == {
        "vpcId": deployed.one("Vpc").state["id"],
        "ingress": [],
        "egress": [],
        "tags": {"Name": "private-iot-sg-default"},
    }


def test_a_preview_with_unknown_values_registers_the_same_resources(deployed: Deployment) -> None:
    preview = deploy(composition(DEVICES, network={"availability_zone_count": 2}), preview=True)
    assert preview.counts() == deployed.counts()
    assert plain(preview.one("Policy").inputs)["policy"] == UNKNOWN
    assert plain(preview.one("Record").inputs)["aliases"][0]["name"] == UNKNOWN
    assert plain(preview.stack_outputs)["configs"] == UNKNOWN
    assert plain(preview.one("Endpoint").inputs)["dnsServers"] == ["10.0.0.2"], "known before anything exists"


def test_a_preview_keeps_secrets_secret() -> None:
    preview = deploy(composition(), preview=True)
    assert isinstance(preview.stack_outputs["configs"], Secret)
    assert isinstance(preview.stack_outputs["bundles"]["pi-1"], Secret)


def test_the_credential_provider_gets_a_private_door_on_request() -> None:
    deployed = deploy(composition(network={"credentials_endpoint": True}, private_link={"credentials_endpoint": True}))
    endpoint = plain(deployed.one("VpcEndpoint", "private-iot-privatelink-credentials").inputs)
    assert endpoint["serviceName"] == "com.amazonaws.ap-northeast-1.iot.credentials"
    assert endpoint["privateDnsEnabled"] is False
    zone = deployed.one("Zone", "private-iot-privatelink-credentials-zone")
    assert plain(zone.inputs)["name"] == "c9.credentials.iot.ap-northeast-1.amazonaws.com"
    record = plain(deployed.one("Record", "private-iot-privatelink-credentials-alias").inputs)
    assert (record["name"], record["zoneId"]) == (plain(zone.inputs)["name"], zone.state["zoneId"])
    assert len(deployed.of("VpcEndpoint")) == 2


def test_the_alias_is_right_whatever_the_order_of_the_dns_entries() -> None:
    regional = {"dnsName": "vpce-0a1-9f.data.iot.ap-northeast-1.vpce.amazonaws.com", "hostedZoneId": "REGIONAL"}
    zonal = {"dnsName": "vpce-0a1-9f-ap-northeast-1a.data.iot.ap-northeast-1.vpce.amazonaws.com", "hostedZoneId": "Z"}
    for entries in ([regional, zonal], [zonal, regional]):
        deployed = deploy(composition(), dns_entries=entries)
        assert plain(deployed.one("Record").inputs)["aliases"][0]["name"] == regional["dnsName"]


def test_an_endpoint_without_a_regional_name_stops_the_deployment() -> None:
    zonal = {"dnsName": "vpce-0a1-9f-ap-northeast-1a.data.iot.ap-northeast-1.vpce.amazonaws.com", "hostedZoneId": "Z"}
    failed = deploy(composition(), dns_entries=[zonal], refused=ValueError)
    assert failed.of("Record") == []
    assert "no regional DNS name" in failed.logged[0]


def test_options_reach_the_endpoint() -> None:
    deployed = deploy(
        composition(
            client_vpn={
                "client_cidr_block": "192.168.0.0/20",
                "dns_servers": ["10.0.0.2", "10.0.0.53"],
                "transport_protocol": "tcp",
                "vpn_port": 1194,
                "split_tunnel": False,
                "session_timeout_hours": 8,
                "disconnect_on_session_timeout": True,
                "connection_log": False,
                "login_banner": "Only for devices",
                "server_name": "vpn.example.com",
                "ca_validity_days": 400,
                "certificate_validity_days": 400,
            }
        )
    )
    endpoint = plain(deployed.one("Endpoint").inputs)
    assert endpoint["clientCidrBlock"] == "192.168.0.0/20"
    assert endpoint["dnsServers"] == ["10.0.0.2", "10.0.0.53"]
    assert (endpoint["transportProtocol"], endpoint["vpnPort"]) == ("tcp", 1194)
    assert (endpoint["splitTunnel"], endpoint["sessionTimeoutHours"]) == (False, 8)
    assert endpoint["disconnectOnSessionTimeout"] is True
    assert endpoint["connectionLogOptions"] == {"enabled": False}
    assert deployed.of("LogGroup") == []
    assert endpoint["clientLoginBannerOptions"] == {"enabled": True, "bannerText": "Only for devices"}
    profile = plain(deployed.stack_outputs["configs"])["pi-1"]
    assert "\nproto tcp\n" in profile
    assert "amazonaws.com 1194\n" in profile
    assert "\nverify-x509-name vpn.example.com name\n" in profile
    assert {plain(one.inputs)["validityPeriodHours"] for one in deployed.of("LocallySignedCert")} == {9600}


def test_a_device_may_be_locked_out_and_may_trust_its_own_root() -> None:
    deployed = deploy(composition(device={"active": False, "root_ca_pem": "-----BEGIN CERTIFICATE-----"}))
    assert plain(deployed.one("Certificate", "pi-1-certificate").inputs)["active"] is False
    assert plain(deployed.stack_outputs["bundles"])["pi-1"]["iot"]["rootCaPem"] == "-----BEGIN CERTIFICATE-----"


@pytest.mark.parametrize("option", ["provider", "providers", "parent"])
def test_lookups_and_children_use_the_provider_that_the_component_was_given(option: str) -> None:
    def program() -> None:
        provider = aws.Provider("elsewhere", region="ap-northeast-1")
        if option == "provider":
            opts = pulumi.ResourceOptions(provider=provider)
        elif option == "providers":
            opts = pulumi.ResourceOptions(providers=[provider])
        else:
            above = pulumi.ComponentResource("a:b:C", "above", opts=pulumi.ResourceOptions(providers=[provider]))
            opts = pulumi.ResourceOptions(parent=above)
        network = PrivateIotNetwork("net", {}, opts)
        export(vpc=network.vpc_id)

    deployed = deploy(program)
    asked = [provider for token, _, provider in deployed.invokes if token.startswith("aws:")]
    assert {provider.split("::")[-2] for provider in asked} == {"elsewhere"}
    children = [one for one in deployed.registrations if one.type.startswith("aws:")]
    assert {one.provider.split("::")[-2] for one in children} == {"elsewhere"}
