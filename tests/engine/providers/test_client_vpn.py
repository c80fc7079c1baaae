"""Client VPN endpoints, associations and authorization rules, with the certificate in ACM that they need.

Cannot prove what AWS itself answers, nor how long its associations take: nobody has run it there.
"""

from typing import Any

import pytest

from lab.providers.values import UNKNOWN, Secret, decode, reveal
from tests.engine.aws import Cloud
from tests.engine.providers.plugin import Made, Plugin, Refused, assert_settled

pytestmark = pytest.mark.engine

ENDPOINT = "aws:ec2clientvpn/endpoint:Endpoint"
ASSOCIATION = "aws:ec2clientvpn/networkAssociation:NetworkAssociation"
RULE = "aws:ec2clientvpn/authorizationRule:AuthorizationRule"
CERTIFICATE = "aws:acm/certificate:Certificate"


def pair(tls: Plugin, domain: str = "server.private-iot.internal") -> dict[str, Any]:
    """A certificate and its key, as inputs for ACM."""
    key = reveal(tls.create("tls:index/privateKey:PrivateKey", {"algorithm": "RSA"}).state["privateKeyPem"])
    made = tls.create(
        "tls:index/selfSignedCert:SelfSignedCert",
        {
            "privateKeyPem": Secret(key),
            "subject": {"commonName": domain},
            "dnsNames": [domain],
            "validityPeriodHours": 24,
            "allowedUses": ["digital_signature", "key_encipherment", "server_auth", "cert_signing"],
            "isCaCertificate": True,
        },
    )
    return {"certificateBody": made.state["certPem"], "privateKey": Secret(key)}


@pytest.fixture(scope="module")
def certificate(aws: Plugin, tls: Plugin) -> Made:
    return aws.create(CERTIFICATE, pair(tls))


@pytest.fixture(scope="module")
def vpc(aws: Plugin) -> Made:
    return aws.create("aws:ec2/vpc:Vpc", {"cidrBlock": "10.0.0.0/16"})


@pytest.fixture(scope="module")
def subnet(aws: Plugin, vpc: Made) -> Made:
    zone = {"vpcId": vpc.id, "cidrBlock": "10.0.1.0/24", "availabilityZone": "ap-northeast-1a"}
    return aws.create("aws:ec2/subnet:Subnet", zone)


@pytest.fixture(scope="module")
def group(aws: Plugin, vpc: Made) -> Made:
    return aws.create("aws:ec2/securityGroup:SecurityGroup", {"vpcId": vpc.id})


@pytest.fixture(scope="module")
def news(certificate: Made, vpc: Made, group: Made) -> dict[str, Any]:
    return {
        "serverCertificateArn": certificate.id,
        "clientCidrBlock": "172.31.0.0/16",
        "authenticationOptions": [
            {"type": "certificate-authentication", "rootCertificateChainArn": certificate.id},
        ],
        "connectionLogOptions": {"enabled": False},
        "clientLoginBannerOptions": {"enabled": False},
        "dnsServers": ["10.0.0.2"],
        "splitTunnel": True,
        "vpcId": vpc.id,
        "securityGroupIds": [group.id],
        "tags": {"Name": "vpn"},
    }


@pytest.fixture(scope="module")
def endpoint(aws: Plugin, news: dict[str, Any]) -> Made:
    return aws.create(ENDPOINT, news)


def test_an_endpoint_is_as_it_was_asked_for(aws: Plugin, cloud: Cloud, endpoint: Made, news: dict[str, Any]) -> None:
    found = cloud.client("ec2").describe_client_vpn_endpoints(ClientVpnEndpointIds=[endpoint.id])
    [seen] = found["ClientVpnEndpoints"]
    assert seen["DnsServers"] == ["10.0.0.2"]
    assert seen["SplitTunnel"] is True
    assert (seen["TransportProtocol"], seen["VpnPort"], seen["SessionTimeoutHours"]) == ("udp", 443, 24)
    assert endpoint.state["dnsName"] == seen["DnsName"]
    assert endpoint.state["selfServicePortal"] == "disabled"
    assert endpoint.state["arn"].endswith(f":client-vpn-endpoint/{endpoint.id}")
    assert_settled(aws, endpoint, news)


def test_a_preview_knows_what_is_given_and_not_the_name_of_the_endpoint(aws: Plugin, news: dict[str, Any]) -> None:
    planned = aws.preview(ENDPOINT, {**news, "serverCertificateArn": UNKNOWN})
    assert planned["dnsName"] is UNKNOWN
    assert planned["serverCertificateArn"] is UNKNOWN
    assert planned["dnsServers"] == ["10.0.0.2"]
    assert planned["tagsAll"] == {"Name": "vpn"}


@pytest.mark.parametrize(
    ("change", "replaces"),
    [
        ({"clientCidrBlock": "172.20.0.0/16"}, True),
        ({"transportProtocol": "tcp"}, True),
        ({"authenticationOptions": [{"type": "directory-service-authentication", "activeDirectoryId": "d-1"}]}, True),
        ({"authenticationOptions": UNKNOWN}, True),
        ({"serverCertificateArn": "arn:aws:acm:ap-northeast-1:123456789012:certificate/other"}, False),
        ({"splitTunnel": False}, False),
        ({"dnsServers": []}, False),
        ({"securityGroupIds": ["sg-1"]}, False),
        ({"sessionTimeoutHours": 8}, False),
        ({"connectionLogOptions": {"enabled": True, "cloudwatchLogGroup": "vpn"}}, False),
        ({"clientLoginBannerOptions": {"enabled": True, "bannerText": "hello"}}, False),
        ({"vpnPort": 1194}, False),
        ({"description": "other"}, False),
        ({"disconnectOnSessionTimeout": False}, False),
        ({"tags": {"Name": "other"}}, False),
    ],
)
def test_only_addresses_authentication_and_protocol_replace_an_endpoint(
    aws: Plugin, endpoint: Made, news: dict[str, Any], change: dict[str, Any], replaces: bool
) -> None:
    plan = aws.plan(endpoint, {**news, **change})
    assert plan.changes
    assert plan.replaces == (list(change) if replaces else [])


def test_what_the_service_fills_in_is_no_difference(aws: Plugin, endpoint: Made, news: dict[str, Any]) -> None:
    unsaid = ("vpcId", "securityGroupIds", "disconnectOnSessionTimeout", "clientLoginBannerOptions")
    assert not aws.plan(endpoint, {name: value for name, value in news.items() if name not in unsaid}).changes
    assert aws.plan(endpoint, {**news, "dnsServers": None}).detail == {"dnsServers": "DELETE"}


def test_a_creation_never_sends_that_a_session_goes_on_after_its_time_and_a_second_up_settles_it(
    aws: Plugin, cloud: Cloud, news: dict[str, Any]
) -> None:
    """Version 6 of the provider takes `false` by GetOk, so that AWS's default holds until something is updated."""
    asked = {**news, "clientCidrBlock": "172.24.0.0/16", "disconnectOnSessionTimeout": False}
    made = aws.create(ENDPOINT, asked, name="session")
    assert made.state["disconnectOnSessionTimeout"] is True
    assert aws.plan(made, asked).detail == {"disconnectOnSessionTimeout": "UPDATE"}
    settled = aws.update(made, asked)
    [seen] = cloud.client("ec2").describe_client_vpn_endpoints(ClientVpnEndpointIds=[made.id])["ClientVpnEndpoints"]
    assert seen["DisconnectOnSessionTimeout"] is False
    assert_settled(aws, settled, asked)
    aws.delete(settled)


def test_a_refused_change_leaves_the_new_value_in_the_state_and_the_next_up_does_not_send_it(
    aws: Plugin, cloud: Cloud, news: dict[str, Any]
) -> None:
    """As types of the plugin SDK do: only what a later refresh or update reads shows that AWS has the old value."""
    first = {**news, "clientCidrBlock": "172.25.0.0/16"}
    made = aws.create(ENDPOINT, first, name="refused")
    fault = {"service": "ec2", "operation": "ModifyClientVpnEndpoint", "code": "UnauthorizedOperation", "status": 403}
    cloud.faults({**fault, "times": 1})
    changed = {**first, "splitTunnel": False}
    with pytest.raises(Refused, match="UnauthorizedOperation") as refused:
        aws.update(made, changed)
    left = refused.value.half_made
    assert left is not None
    assert (left.id, decode(left.properties)["splitTunnel"]) == (made.id, False)
    half_done = Made(ENDPOINT, left.id, decode(left.inputs), decode(left.properties))
    assert not aws.plan(half_done, changed).changes
    cloud.forget_calls()
    again = aws.update(half_done, changed)
    assert cloud.calls("ModifyClientVpnEndpoint") == []
    assert again.state["splitTunnel"] is True, "what AWS has is read, so that a later preview shows the change again"
    assert aws.plan(again, changed).detail == {"splitTunnel": "UPDATE"}
    aws.delete(again)


def test_a_change_is_detailed_as_the_bridge_details_it(aws: Plugin, endpoint: Made, news: dict[str, Any]) -> None:
    banner = {"clientLoginBannerOptions": {"enabled": True, "bannerText": "hello"}}
    assert aws.plan(endpoint, {**news, **banner}).detail == {
        "clientLoginBannerOptions.bannerText": "UPDATE",
        "clientLoginBannerOptions.enabled": "UPDATE",
    }
    assert aws.plan(endpoint, {**news, "securityGroupIds": ["sg-1", "sg-2"]}).detail == {"securityGroupIds": "UPDATE"}


def test_an_endpoint_changes_in_place(aws: Plugin, cloud: Cloud, news: dict[str, Any]) -> None:
    made = aws.create(ENDPOINT, {**news, "clientCidrBlock": "172.22.0.0/16"}, name="other")
    cloud.client("logs").create_log_group(logGroupName="vpn")
    changed = {
        **news,
        "clientCidrBlock": "172.22.0.0/16",
        "splitTunnel": False,
        "dnsServers": [],
        "sessionTimeoutHours": 8,
        "vpnPort": 1194,
        "description": "changed",
        "connectionLogOptions": {"enabled": True, "cloudwatchLogGroup": "vpn"},
        "clientLoginBannerOptions": {"enabled": True, "bannerText": "hello"},
        "tags": {"Name": "vpn", "more": "1"},
    }
    made = aws.update(made, changed)
    found = cloud.client("ec2").describe_client_vpn_endpoints(ClientVpnEndpointIds=[made.id])
    [seen] = found["ClientVpnEndpoints"]
    assert (seen["SplitTunnel"], seen.get("DnsServers", []), seen["VpnPort"]) == (False, [], 1194)
    assert seen["ConnectionLogOptions"]["CloudwatchLogGroup"] == "vpn"
    assert seen["ClientLoginBannerOptions"] == {"Enabled": True, "BannerText": "hello"}
    assert_settled(aws, made, changed)
    aws.delete(made)
    assert aws.refresh(made) is None
    aws.delete(made)


def test_a_switch_that_was_turned_by_hand_is_drift_and_is_turned_back(
    aws: Plugin, cloud: Cloud, endpoint: Made, news: dict[str, Any]
) -> None:
    ec2 = cloud.client("ec2")
    ec2.modify_client_vpn_endpoint(ClientVpnEndpointId=endpoint.id, SplitTunnel=False)
    seen = aws.refresh(endpoint)
    assert seen is not None
    assert seen.inputs["splitTunnel"] is False
    assert aws.plan(seen, news).detail == {"splitTunnel": "UPDATE"}
    aws.update(seen, news)
    [again] = ec2.describe_client_vpn_endpoints(ClientVpnEndpointIds=[endpoint.id])["ClientVpnEndpoints"]
    assert again["SplitTunnel"] is True


def test_an_import_reads_the_whole_endpoint(aws: Plugin, endpoint: Made, news: dict[str, Any]) -> None:
    imported = aws.import_(ENDPOINT, endpoint.id)
    assert imported is not None
    assert reveal(imported.state) == reveal(endpoint.state)
    assert not aws.plan(imported, news).changes
    assert aws.import_(ENDPOINT, "cvpn-endpoint-00000000000000000") is None


def test_an_association_and_a_rule_live_and_die_with_their_endpoint(
    aws: Plugin, cloud: Cloud, endpoint: Made, subnet: Made, vpc: Made
) -> None:
    ec2 = cloud.client("ec2")
    association_news = {"clientVpnEndpointId": endpoint.id, "subnetId": subnet.id}
    association = aws.create(ASSOCIATION, association_news)
    [network] = ec2.describe_client_vpn_target_networks(ClientVpnEndpointId=endpoint.id)["ClientVpnTargetNetworks"]
    assert network["Status"]["Code"] == "associated", "the provider waited"
    assert association.id == association.state["associationId"] == network["AssociationId"]
    assert association.state["vpcId"] == vpc.id
    assert_settled(aws, association, association_news)
    rule_news = {
        "clientVpnEndpointId": endpoint.id,
        "targetNetworkCidr": "10.0.0.0/16",
        "authorizeAllGroups": True,
        "description": "VPC",
    }
    rule = aws.create(RULE, rule_news)
    assert rule.id == f"{endpoint.id},10.0.0.0/16"
    assert_settled(aws, rule, rule_news)
    for change in ({"targetNetworkCidr": "10.0.1.0/24"}, {"description": "other"}, {"clientVpnEndpointId": UNKNOWN}):
        assert aws.plan(rule, {**rule_news, **change}).replaces == list(change)
    for change in ({"subnetId": "subnet-2"}, {"clientVpnEndpointId": UNKNOWN}):
        assert aws.plan(association, {**association_news, **change}).replaces == list(change)
    imported = aws.import_(ASSOCIATION, f"{endpoint.id},{association.id}")
    assert imported is not None
    assert (imported.id, imported.state) == (association.id, association.state)
    assert aws.import_(RULE, rule.id) is not None
    cloud.client("ec2").revoke_client_vpn_ingress(
        ClientVpnEndpointId=endpoint.id, TargetNetworkCidr="10.0.0.0/16", RevokeAllGroups=True
    )
    assert aws.refresh(rule) is not None, "a rule that is being revoked is still read"
    assert aws.refresh(rule) is None
    aws.delete(rule)
    aws.delete(association)
    assert aws.refresh(association) is None
    aws.delete(association)


def test_a_rule_for_one_group_has_the_group_in_its_id(aws: Plugin, endpoint: Made) -> None:
    news = {"clientVpnEndpointId": endpoint.id, "targetNetworkCidr": "10.0.0.0/16", "accessGroupId": "S-1-5"}
    rule = aws.create(RULE, news)
    assert rule.id == f"{endpoint.id},10.0.0.0/16,S-1-5"
    assert_settled(aws, rule, news)
    aws.delete(rule)


def test_an_import_id_of_another_form_is_refused_with_the_right_one(aws: Plugin) -> None:
    with pytest.raises(Refused, match="expected EndpointID,AssociationID"):
        aws.import_(ASSOCIATION, "cvpn-assoc-1")
    with pytest.raises(Refused, match="expected endpoint-id,target-network-cidr"):
        aws.import_(RULE, "cvpn-endpoint-1")


@pytest.mark.parametrize(
    ("change", "property_", "reason"),
    [
        ({"transportProtocol": "sctp"}, "transportProtocol", '["tcp", "udp"]'),
        ({"vpnPort": 80}, "vpnPort", "[443, 1194], got 80"),
        ({"sessionTimeoutHours": 9}, "sessionTimeoutHours", "[8, 10, 12, 24]"),
        ({"clientCidrBlock": "172.31.0.0"}, "clientCidrBlock", "no prefix length"),
        ({"serverCertificateArn": "certificate"}, "serverCertificateArn", "invalid ARN"),
        ({"securityGroupIds": []}, "securityGroupIds", "1 item minimum"),
        ({"securityGroupIds": [f"sg-{n}" for n in range(6)]}, "securityGroupIds", "5 item maximum"),
        ({"authenticationOptions": [{"type": "password"}]}, "authenticationOptions[0].type", "got password"),
        ({"authenticationOptions": None}, "authenticationOptions", "Missing required property"),
        ({"connectionLogOptions": {}}, "connectionLogOptions.enabled", "Missing required property"),
        ({"clientLoginBannerOptions": {"bannerText": "x" * 1401}}, "clientLoginBannerOptions.bannerText", "1400"),
        ({"split_tunnel": True}, "split_tunnel", "not expected here"),
        ({"splitTunnel": "perhaps"}, "splitTunnel", "expected type boolean, got string"),
        ({"transitGatewayConfiguration": {"transitGatewayId": "tgw-1"}}, "transitGatewayConfiguration", "conflicts"),
    ],
)
def test_a_bad_input_is_refused_by_its_path(
    aws: Plugin, news: dict[str, Any], change: dict[str, Any], property_: str, reason: str
) -> None:
    _, failures = aws.check(ENDPOINT, {**news, **change})
    assert list(failures) == [property_]
    assert reason in failures[property_]


def test_awss_refusal_names_the_operation_the_code_and_the_reason(aws: Plugin, news: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        aws.create(ENDPOINT, {**news, "clientCidrBlock": "10.0.0.0/16"}, name="overlap")
    assert refused.value.text.startswith(
        "creating EC2 Client VPN Endpoint: CreateClientVpnEndpoint: InvalidParameterValue"
    )
    assert refused.value.half_made is None


def test_a_certificate_is_imported_again_under_the_same_arn(aws: Plugin, tls: Plugin, cloud: Cloud) -> None:
    news = {**pair(tls), "tags": {"Name": "server"}}
    made = aws.create(CERTIFICATE, news)
    assert made.id == made.state["arn"]
    assert made.state["domainName"] == "server.private-iot.internal"
    assert (made.state["type"], made.state["keyAlgorithm"]) == ("IMPORTED", "RSA_2048")
    assert isinstance(made.state["privateKey"], Secret)
    assert not isinstance(made.state["certificateBody"], Secret)
    assert_settled(aws, made, news)
    renewed = {**pair(tls), "tags": {"Name": "server", "turn": "2"}}
    plan = aws.plan(made, renewed)
    assert plan.replaces == []
    assert {"certificateBody", "privateKey"} <= set(plan.properties)
    changed = aws.update(made, renewed)
    assert changed.state["arn"] == made.id
    body = cloud.client("acm").get_certificate(CertificateArn=made.id)["Certificate"]
    assert body.strip() == renewed["certificateBody"].strip()
    assert_settled(aws, changed, renewed)
    aws.delete(changed)
    assert aws.refresh(changed) is None
    aws.delete(changed)


def test_a_certificate_is_imported_or_requested_and_not_both(aws: Plugin, tls: Plugin) -> None:
    _, neither = aws.check(CERTIFICATE, {})
    assert "one of `domainName,privateKey` must be specified" in neither["domainName"]
    _, both = aws.check(CERTIFICATE, {**pair(tls), "domainName": "example.com"})
    assert {"certificateBody", "domainName"} <= set(both)
    _, keyless = aws.check(CERTIFICATE, {"certificateBody": "-----BEGIN CERTIFICATE-----", "domainName": "example.com"})
    assert "all of `privateKey` must be specified" in " ".join(keyless.values())


def test_a_refused_certificate_does_not_tell_its_key(aws: Plugin, tls: Plugin) -> None:
    wrong = {**pair(tls), "privateKey": pair(tls)["privateKey"]}
    with pytest.raises(Refused, match="importing ACM Certificate: ImportCertificate: ") as refused:
        aws.create(CERTIFICATE, wrong)
    lines = [line for line in reveal(wrong["privateKey"]).splitlines() if len(line) > 20]
    assert not [line for line in lines if line in refused.value.text]
