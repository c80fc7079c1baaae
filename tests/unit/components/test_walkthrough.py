"""Every row of the walk-through, in its order: the resource and the value that stand for it, or how we differ and why.

Cannot prove that AWS accepts the resources; the walk-through's author saw AWS accept the rows themselves.
"""

import json
from typing import Any

import pytest

from tests.unit.components.compose import composition
from tests.unit.components.monitor import Deployment, Secret, deploy, plain

DEV = {
    "vpc_cidr_block": "10.0.0.0/16",
    "availability_zones": ["ap-northeast-1a"],
    "subnet_cidr_blocks": ["10.0.1.0/24"],
}
ANYWHERE = ("0.0.0.0/0", "::/0")


@pytest.fixture(scope="module")
def deployed() -> Deployment:
    return deploy(composition(network=DEV))


def inputs(deployed: Deployment, kind: str, name: str | None = None) -> dict[str, Any]:
    values: dict[str, Any] = plain(deployed.one(kind, name).inputs)
    return values


def rules(deployed: Deployment, kind: str) -> list[tuple[str, str, str, int, int]]:
    """Owner, counterpart, protocol and ports of every rule of a direction, by the groups' names."""
    names = {one.state["id"]: one.name for one in deployed.of("SecurityGroup")}
    found = []
    for one in deployed.of(kind):
        rule = plain(one.inputs)
        owner, counterpart = names[rule["securityGroupId"]], names[rule["referencedSecurityGroupId"]]
        found.append((owner, counterpart, rule["ipProtocol"], rule["fromPort"], rule["toPort"]))
    return sorted(found)


def test_the_vpc_is_private_iot_vpc_of_10_0_0_0_16_without_ipv6(deployed: Deployment) -> None:
    vpc = inputs(deployed, "Vpc", "private-iot-vpc")
    assert vpc["cidrBlock"] == "10.0.0.0/16"
    assert vpc["tags"]["Name"] == "private-iot-vpc"
    assert not [key for key in vpc if "ipv6" in key.lower() or key == "instanceTenancy"]


def test_the_vpc_has_dns_support_and_dns_host_names(deployed: Deployment) -> None:
    vpc = inputs(deployed, "Vpc")
    assert vpc["enableDnsSupport"] is True
    assert vpc["enableDnsHostnames"] is True


def test_the_subnet_is_private_iot_vpc_subnet_1_in_zone_a_of_10_0_1_0_24(deployed: Deployment) -> None:
    subnet = inputs(deployed, "Subnet", "private-iot-vpc-subnet-ap-northeast-1a")
    assert subnet["tags"]["Name"] == "private-iot-vpc-subnet-1"
    assert subnet["availabilityZone"] == "ap-northeast-1a"
    assert subnet["cidrBlock"] == "10.0.1.0/24"
    assert subnet["vpcId"] == deployed.one("Vpc").state["id"]
    assert subnet["mapPublicIpOnLaunch"] is False


def test_the_subnet_is_the_same_when_it_is_computed() -> None:
    subnet = inputs(deploy(composition(network={})), "Subnet")
    assert (subnet["availabilityZone"], subnet["cidrBlock"]) == ("ap-northeast-1a", "10.0.1.0/24")


def test_zone_d_is_avoided_as_the_walk_through_says() -> None:
    refused = deploy(
        composition(network={"availability_zones": ["ap-northeast-1a", "ap-northeast-1d"]}), refused=ValueError
    )
    assert refused.registrations == []
    assert "'ap-northeast-1d'" in refused.logged[0]
    assert "ap-northeast-1a, ap-northeast-1c only" in refused.logged[0]


@pytest.mark.parametrize("suffix", ["sg-clientvpn", "sg-privatelink"])
def test_the_two_security_groups_have_the_walk_throughs_names(deployed: Deployment, suffix: str) -> None:
    group = inputs(deployed, "SecurityGroup", f"private-iot-{suffix}")
    assert group["tags"]["Name"] == f"private-iot-{suffix}"
    assert group["description"] == f"private-iot-{suffix}"
    assert "ingress" not in group, "rules are resources of their own"
    assert "egress" not in group, "rules are resources of their own"


def test_the_vpns_group_lets_nothing_in_and_out_only_to_the_endpoints_group(deployed: Deployment) -> None:
    """The walk-through: in 8883 from anywhere, out all TCP to anywhere. We differ: the least that works."""
    assert rules(deployed, "SecurityGroupEgressRule") == [
        ("private-iot-sg-clientvpn", "private-iot-sg-privatelink", "tcp", 443, 443),
        ("private-iot-sg-clientvpn", "private-iot-sg-privatelink", "tcp", 8883, 8883),
    ]


def test_the_endpoints_group_lets_the_vpns_group_in_and_nothing_out(deployed: Deployment) -> None:
    """The walk-through: in all TCP from anywhere, out 8883 to anywhere. We differ: the least that works."""
    assert rules(deployed, "SecurityGroupIngressRule") == [
        ("private-iot-sg-privatelink", "private-iot-sg-clientvpn", "tcp", 443, 443),
        ("private-iot-sg-privatelink", "private-iot-sg-clientvpn", "tcp", 8883, 8883),
    ]


def test_the_endpoint_is_of_iot_data_in_the_subnet_with_its_group(deployed: Deployment) -> None:
    endpoint = inputs(deployed, "VpcEndpoint", "private-iot-privatelink")
    assert endpoint["serviceName"] == "com.amazonaws.ap-northeast-1.iot.data"
    assert endpoint["vpcEndpointType"] == "Interface"
    assert endpoint["privateDnsEnabled"] is False
    assert endpoint["vpcId"] == deployed.one("Vpc").state["id"]
    assert endpoint["subnetIds"] == [deployed.one("Subnet").state["id"]]
    assert endpoint["securityGroupIds"] == [deployed.one("SecurityGroup", "private-iot-sg-privatelink").state["id"]]


def test_the_accounts_endpoint_is_looked_up_as_data_ats(deployed: Deployment) -> None:
    asked = [arguments for token, arguments, _ in deployed.invokes if token.endswith(":getEndpoint")]
    assert asked == [{"endpointType": "iot:Data-ATS"}]


def test_the_private_hosted_zone_is_the_full_endpoint_name(deployed: Deployment) -> None:
    """The walk-through: iot.ap-northeast-1.amazonaws.com, which would hide every other name of AWS IoT in the VPC."""
    zone = inputs(deployed, "Zone")
    assert zone["name"] == "a1b2c3-ats.iot.ap-northeast-1.amazonaws.com"
    assert zone["vpcs"] == [{"vpcId": deployed.one("Vpc").state["id"]}]


def test_the_record_is_an_alias_at_the_apex_to_the_regional_name(deployed: Deployment) -> None:
    record = inputs(deployed, "Record")
    regional = deployed.one("VpcEndpoint").state["dnsEntries"][1]
    assert record["type"] == "A"
    assert record["name"] == "a1b2c3-ats.iot.ap-northeast-1.amazonaws.com"
    assert record["zoneId"] == deployed.one("Zone").state["zoneId"]
    assert record["aliases"] == [
        {"name": regional["dnsName"], "zoneId": "REGIONAL", "evaluateTargetHealth": False},
    ]


def test_the_certificate_authority_is_built(deployed: Deployment) -> None:
    authority = inputs(deployed, "SelfSignedCert")
    assert authority["isCaCertificate"] is True
    assert sorted(authority["allowedUses"]) == ["cert_signing", "crl_signing"]
    assert authority["subject"]["commonName"] == "Client VPN CA"
    assert authority["validityPeriodHours"] == 3650 * 24


@pytest.mark.parametrize("name", ["private-iot-ca-key", "private-iot-server-key", "private-iot-client-pi-1-key"])
def test_the_vpns_keys_are_rsa_of_2048_bits(deployed: Deployment, name: str) -> None:
    key = inputs(deployed, "PrivateKey", name)
    assert (key["algorithm"], key["rsaBits"]) == ("RSA", 2048)


def test_the_server_certificate_has_a_domain(deployed: Deployment) -> None:
    """The walk-through: CN=server. AWS refuses that today: "does not have a domain"."""
    request = inputs(deployed, "CertRequest", "private-iot-server-request")
    assert request["subject"]["commonName"] == "server.private-iot.internal"
    assert request["dnsNames"] == ["server.private-iot.internal"]
    certificate = inputs(deployed, "LocallySignedCert", "private-iot-server-certificate")
    assert sorted(certificate["allowedUses"]) == ["digital_signature", "key_encipherment", "server_auth"]


def test_each_device_has_a_client_certificate_of_its_own_name(deployed: Deployment) -> None:
    request = inputs(deployed, "CertRequest", "private-iot-client-pi-1-request")
    assert request["subject"]["commonName"] == "pi-1"
    certificate = inputs(deployed, "LocallySignedCert", "private-iot-client-pi-1-certificate")
    assert sorted(certificate["allowedUses"]) == ["client_auth", "digital_signature"]
    assert certificate["validityPeriodHours"] == 825 * 24


def test_the_server_certificate_is_imported_with_body_key_and_chain(deployed: Deployment) -> None:
    imported = inputs(deployed, "Certificate", "private-iot-server")
    assert (
        imported["certificateBody"]
        == deployed.one("LocallySignedCert", "private-iot-server-certificate").state["certPem"]
    )
    assert imported["privateKey"] == deployed.one("PrivateKey", "private-iot-server-key").state["privateKeyPem"]
    assert imported["certificateChain"] == deployed.one("SelfSignedCert").state["certPem"]


def test_the_client_certificate_is_not_imported(deployed: Deployment) -> None:
    """The walk-through imports it. One authority issued both, so that the server's ARN serves as the root chain."""
    assert [one.name for one in deployed.of("Certificate") if one.type.startswith("aws:acm")] == ["private-iot-server"]


def test_the_client_vpn_endpoint_has_the_walk_throughs_name_and_addresses(deployed: Deployment) -> None:
    endpoint = inputs(deployed, "Endpoint", "private-iot-clientvpn")
    assert endpoint["tags"]["Name"] == "private-iot-clientvpn"
    assert endpoint["clientCidrBlock"] == "172.31.0.0/16"
    assert endpoint["dnsServers"] == ["10.0.0.2"]


def test_the_client_vpn_endpoint_authenticates_both_ends_by_certificate(deployed: Deployment) -> None:
    endpoint = inputs(deployed, "Endpoint")
    arn = deployed.one("Certificate", "private-iot-server").state["arn"]
    assert endpoint["serverCertificateArn"] == arn
    assert endpoint["authenticationOptions"] == [{"type": "certificate-authentication", "rootCertificateChainArn": arn}]


def test_connections_are_logged(deployed: Deployment) -> None:
    """The walk-through: not logged. We differ: an unattended device's connections need a trace."""
    log = deployed.one("LogGroup")
    assert plain(log.inputs)["retentionInDays"] == 90
    assert inputs(deployed, "Endpoint")["connectionLogOptions"] == {
        "enabled": True,
        "cloudwatchLogGroup": log.state["name"],
    }


def test_split_tunnel_is_on_and_a_session_that_ends_is_resumed(deployed: Deployment) -> None:
    """The walk-through: a full tunnel, which leaves the device without internet. We differ."""
    endpoint = inputs(deployed, "Endpoint")
    assert endpoint["splitTunnel"] is True
    # AWS's own default: OpenVPN comes back by itself, and the provider would never send `false` at creation.
    assert endpoint["disconnectOnSessionTimeout"] is True
    assert endpoint["sessionTimeoutHours"] == 24
    assert (endpoint["transportProtocol"], endpoint["vpnPort"]) == ("udp", 443)
    assert endpoint["clientLoginBannerOptions"] == {"enabled": False}


def test_the_endpoint_is_associated_with_the_subnet(deployed: Deployment) -> None:
    association = inputs(deployed, "NetworkAssociation")
    assert association["subnetId"] == deployed.one("Subnet").state["id"]
    assert association["clientVpnEndpointId"] == deployed.one("Endpoint").state["id"]


def test_the_vpns_security_group_is_applied_to_the_endpoint(deployed: Deployment) -> None:
    endpoint = inputs(deployed, "Endpoint")
    assert endpoint["securityGroupIds"] == [deployed.one("SecurityGroup", "private-iot-sg-clientvpn").state["id"]]
    assert endpoint["vpcId"] == deployed.one("Vpc").state["id"]


def test_every_user_is_authorized_for_the_vpc(deployed: Deployment) -> None:
    rule = inputs(deployed, "AuthorizationRule")
    assert rule["targetNetworkCidr"] == "10.0.0.0/16"
    assert rule["authorizeAllGroups"] is True
    assert rule["clientVpnEndpointId"] == deployed.one("Endpoint").state["id"]


def test_the_profile_has_certificate_and_key_inline_and_the_resolver_script(deployed: Deployment) -> None:
    profile = plain(deployed.stack_outputs["configs"])["pi-1"]
    host = deployed.one("Endpoint").state["dnsName"].removeprefix("*.")
    assert f"\nremote {host} 443\n" in profile
    assert deployed.one("LocallySignedCert", "private-iot-client-pi-1-certificate").state["certPem"] in profile
    assert deployed.one("PrivateKey", "private-iot-client-pi-1-key").state["privateKeyPem"] in profile
    assert "\nverify-x509-name server.private-iot.internal name\n" in profile
    for line in ("script-security 2", "up /etc/openvpn/update-systemd-resolved", "down-pre", "up-restart"):
        assert f"\n{line}\n" in profile


def test_the_device_and_its_certificate_are_made(deployed: Deployment) -> None:
    """The walk-through leaves this out: "omitted"."""
    assert inputs(deployed, "Thing") == {"name": "pi-1", "attributes": {"project": "private-iot", "stack": "test"}}
    key = inputs(deployed, "PrivateKey", "pi-1-key")
    assert (key["algorithm"], key["ecdsaCurve"]) == ("ECDSA", "P256")
    assert inputs(deployed, "CertRequest", "pi-1-request")["subject"]["commonName"] == "pi-1"
    certificate = deployed.one("Certificate", "pi-1-certificate")
    assert plain(certificate.inputs) == {
        "active": True,
        "csr": deployed.one("CertRequest", "pi-1-request").state["certRequestPem"],
    }
    arn = certificate.state["arn"]
    assert inputs(deployed, "PolicyAttachment") == {"policy": deployed.one("Policy").state["name"], "target": arn}
    assert inputs(deployed, "ThingPrincipalAttachment") == {"thing": "pi-1", "principal": arn}


def test_the_policy_refuses_every_way_but_the_vpc_endpoint(deployed: Deployment) -> None:
    endpoint_id = deployed.one("VpcEndpoint").state["id"]
    for statement in json.loads(inputs(deployed, "Policy")["policy"])["Statement"]:
        assert statement["Condition"]["StringEquals"] == {"aws:SourceVpce": endpoint_id}


def test_the_walk_throughs_broad_policy_takes_one_argument() -> None:
    deployed = deploy(composition(network=DEV, private_link={"allow_all_iot_actions": True}))
    [statement] = json.loads(inputs(deployed, "Policy")["policy"])["Statement"]
    assert (statement["Action"], statement["Resource"]) == ("iot:*", "*")
    assert statement["Condition"]["StringEquals"] == {"aws:SourceVpce": deployed.one("VpcEndpoint").state["id"]}


def test_the_bundle_is_what_the_device_agent_installs(deployed: Deployment) -> None:
    bundles = deployed.stack_outputs["bundles"]
    assert isinstance(bundles["pi-1"], Secret)
    assert plain(bundles["pi-1"]) == {
        "version": 1,
        "name": "pi-1",
        "region": "ap-northeast-1",
        "vpn": {"config": plain(deployed.stack_outputs["configs"])["pi-1"]},
        "iot": {
            "endpoint": "a1b2c3-ats.iot.ap-northeast-1.amazonaws.com",
            "clientId": "pi-1",
            "certificatePem": deployed.one("Certificate", "pi-1-certificate").state["certificatePem"],
            "privateKeyPem": deployed.one("PrivateKey", "pi-1-key").state["privateKeyPemPkcs8"],
        },
        "network": {
            "vpcCidr": "10.0.0.0/16",
            "dnsServer": "10.0.0.2",
            "vpcEndpointId": deployed.one("VpcEndpoint").state["id"],
        },
        "topicPrefix": "test/pi-1",
    }
