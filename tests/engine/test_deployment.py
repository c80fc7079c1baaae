"""The program from nothing, with the real engine: what is made, what boto3 then finds, and what stays secret.

Cannot prove what AWS itself would make of the same calls: the cloud is the lab's.
"""

import ipaddress
import json
import re
import time
from typing import Any

import pytest
from device_agent.install.bundle import parse_bundle

from tests.engine.aws import Cloud
from tests.engine.conftest import StackFactory
from tests.engine.stack import ONE_DEVICE, Outcome, Stack

pytestmark = pytest.mark.engine

# The walk-through's environment, as Pulumi.dev.yaml has it.
WALKTHROUGH = {
    "private-iot:vpcCidrBlock": "10.0.0.0/16",
    "private-iot:availabilityZones": ["ap-northeast-1a"],
    "private-iot:subnetCidrBlocks": ["10.0.1.0/24"],
    "private-iot:clientCidrBlock": "172.31.0.0/16",
    "private-iot:dnsServers": ["10.0.0.2"],
    "private-iot:devices": ["pi-1"],
}
PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")


@pytest.fixture(scope="module")
def deployed(new_stack: StackFactory, cloud: Cloud) -> tuple[Stack, Outcome]:
    """The walk-through's environment, and what the engine did for it."""
    stack = new_stack(cloud, config=dict(WALKTHROUGH))
    # From level 9 on the engine itself writes every property it sends to a plugin, secret or not.
    return stack, stack.up("--debug", "--logtostderr", "-v", "8")


@pytest.fixture(scope="module")
def stack(deployed: tuple[Stack, Outcome]) -> Stack:
    return deployed[0]


def only(found: list[Any]) -> Any:
    assert len(found) == 1, found
    return found[0]


def named(things: list[Any], name: str) -> Any:
    return only([each for each in things if {"Key": "Name", "Value": name} in each.get("Tags", [])])


def test_an_up_from_nothing_creates_exactly_these_resources(deployed: tuple[Stack, Outcome]) -> None:
    stack, outcome = deployed
    assert outcome.ops == {"create"}
    assert outcome.counts("create") == ONE_DEVICE
    assert len(stack.resources()) == sum(ONE_DEVICE.values())


def test_a_second_preview_plans_nothing(stack: Stack) -> None:
    assert stack.preview("--expect-no-changes").steps == []


def test_a_refresh_finds_no_drift_and_a_further_up_does_nothing(stack: Stack, cloud: Cloud) -> None:
    before = cloud.inventory()
    assert stack.refresh("--expect-no-changes").steps == []
    assert stack.up("--expect-no-changes").steps == []
    assert cloud.inventory() == before


def test_the_cloud_has_the_vpc_with_dns_host_names(stack: Stack, cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    vpc = named(ec2.describe_vpcs()["Vpcs"], "private-iot-vpc")
    assert vpc["CidrBlock"] == "10.0.0.0/16"
    for attribute in ("enableDnsSupport", "enableDnsHostnames"):
        answer = ec2.describe_vpc_attribute(VpcId=vpc["VpcId"], Attribute=attribute)
        assert answer[attribute[0].upper() + attribute[1:]] == {"Value": True}


def test_the_cloud_has_the_subnet_in_a_zone_that_offers_the_endpoint(stack: Stack, cloud: Cloud) -> None:
    subnet = named(cloud.client("ec2").describe_subnets()["Subnets"], "private-iot-vpc-subnet-1")
    assert (subnet["AvailabilityZone"], subnet["CidrBlock"]) == ("ap-northeast-1a", "10.0.1.0/24")
    assert not subnet["MapPublicIpOnLaunch"]


def test_the_subnet_has_no_route_out(stack: Stack, cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    subnet = named(ec2.describe_subnets()["Subnets"], "private-iot-vpc-subnet-1")
    filters = [{"Name": "association.subnet-id", "Values": [subnet["SubnetId"]]}]
    table = only(ec2.describe_route_tables(Filters=filters)["RouteTables"])
    assert [route["GatewayId"] for route in table["Routes"]] == ["local"]
    assert not ec2.describe_nat_gateways()["NatGateways"]
    attached = [{"Name": "attachment.vpc-id", "Values": [subnet["VpcId"]]}]
    assert not ec2.describe_internet_gateways(Filters=attached)["InternetGateways"]


def test_the_two_security_groups_let_only_each_other_through(stack: Stack, cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    vpc = named(ec2.describe_vpcs()["Vpcs"], "private-iot-vpc")
    groups = ec2.describe_security_groups(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["SecurityGroups"]
    vpn, link = (named(groups, f"private-iot-sg-{name}") for name in ("clientvpn", "privatelink"))
    default = only([group for group in groups if group["GroupName"] == "default"])
    assert (default["IpPermissions"], default["IpPermissionsEgress"]) == ([], [])
    assert vpn["IpPermissions"] == []
    assert link["IpPermissionsEgress"] == []
    for rules, other in ((vpn["IpPermissionsEgress"], link), (link["IpPermissions"], vpn)):
        assert sorted((rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) for rule in rules) == [
            ("tcp", 443, 443),
            ("tcp", 8883, 8883),
        ]
        for rule in rules:
            assert only(rule["UserIdGroupPairs"])["GroupId"] == other["GroupId"]
            assert not rule.get("IpRanges")
            assert not rule.get("Ipv6Ranges")


def _vpc_endpoint(cloud: Cloud) -> Any:
    return only(cloud.client("ec2").describe_vpc_endpoints()["VpcEndpoints"])


def test_the_cloud_has_the_interface_endpoint_without_private_dns(stack: Stack, cloud: Cloud) -> None:
    endpoint = _vpc_endpoint(cloud)
    assert endpoint["ServiceName"] == "com.amazonaws.ap-northeast-1.iot.data"
    assert endpoint["VpcEndpointType"] == "Interface"
    assert endpoint["PrivateDnsEnabled"] is False
    assert endpoint["State"].lower() == "available"
    assert only(endpoint["Groups"])["GroupName"].startswith("private-iot-sg-privatelink")
    interfaces = cloud.client("ec2").describe_network_interfaces(NetworkInterfaceIds=endpoint["NetworkInterfaceIds"])
    for interface in interfaces["NetworkInterfaces"]:
        assert ipaddress.ip_address(interface["PrivateIpAddress"]) in ipaddress.ip_network("10.0.1.0/24")


def test_the_private_zone_is_the_whole_ats_name_with_an_apex_alias_to_the_regional_entry(
    stack: Stack, cloud: Cloud
) -> None:
    address = cloud.client("iot").describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
    dns = cloud.client("route53")
    zone = only(dns.list_hosted_zones()["HostedZones"])
    assert zone["Name"] == f"{address}."
    assert zone["Config"]["PrivateZone"]
    associated = only(dns.get_hosted_zone(Id=zone["Id"])["VPCs"])
    assert associated["VPCId"] == named(cloud.client("ec2").describe_vpcs()["Vpcs"], "private-iot-vpc")["VpcId"]
    records = dns.list_resource_record_sets(HostedZoneId=zone["Id"])["ResourceRecordSets"]
    alias = only([record for record in records if record["Type"] == "A"])
    entries = _vpc_endpoint(cloud)["DnsEntries"]
    regional = only([entry for entry in entries if not re.search(r"-ap-northeast-1[a-z]\.data\.", entry["DnsName"])])
    assert alias["Name"] == f"{address}."
    assert alias["AliasTarget"]["DNSName"].rstrip(".") == regional["DnsName"]
    assert alias["AliasTarget"]["HostedZoneId"] == regional["HostedZoneId"]


def _client_vpn(cloud: Cloud) -> Any:
    return only(cloud.client("ec2").describe_client_vpn_endpoints()["ClientVpnEndpoints"])


def test_the_server_certificate_is_in_acm_with_its_chain_and_serves_as_the_root_chain(
    stack: Stack, cloud: Cloud
) -> None:
    summary = only(cloud.client("acm").list_certificates()["CertificateSummaryList"])
    certificate = cloud.client("acm").get_certificate(CertificateArn=summary["CertificateArn"])
    assert certificate["CertificateChain"].count("BEGIN CERTIFICATE") == 1
    assert summary["DomainName"] == "server.private-iot.internal"
    vpn = _client_vpn(cloud)
    assert vpn["ServerCertificateArn"] == summary["CertificateArn"]
    authentication = only(vpn["AuthenticationOptions"])
    assert authentication["Type"] == "certificate-authentication"
    assert authentication["MutualAuthentication"]["ClientRootCertificateChain"] == summary["CertificateArn"]


def test_the_cloud_has_the_client_vpn_endpoint(stack: Stack, cloud: Cloud) -> None:
    vpn = _client_vpn(cloud)
    assert {"Key": "Name", "Value": "private-iot-clientvpn"} in vpn["Tags"]
    assert vpn["ClientCidrBlock"] == "172.31.0.0/16"
    assert vpn["DnsServers"] == ["10.0.0.2"]
    assert vpn["SplitTunnel"] is True
    assert (vpn["TransportProtocol"], vpn["VpnPort"]) == ("udp", 443)
    assert vpn["DisconnectOnSessionTimeout"] is True
    assert vpn["ConnectionLogOptions"]["Enabled"]
    group = only(cloud.client("logs").describe_log_groups()["logGroups"])
    assert vpn["ConnectionLogOptions"]["CloudwatchLogGroup"] == group["logGroupName"]
    assert group["retentionInDays"] == 90


def test_the_endpoint_is_associated_authorized_and_has_its_security_group(stack: Stack, cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    vpn = _client_vpn(cloud)
    identifier = {"ClientVpnEndpointId": vpn["ClientVpnEndpointId"]}
    network = only(ec2.describe_client_vpn_target_networks(**identifier)["ClientVpnTargetNetworks"])
    subnet = named(ec2.describe_subnets()["Subnets"], "private-iot-vpc-subnet-1")
    group = named(ec2.describe_security_groups()["SecurityGroups"], "private-iot-sg-clientvpn")
    assert network["TargetNetworkId"] == subnet["SubnetId"]
    assert vpn["SecurityGroupIds"] == [group["GroupId"]]
    rule = only(ec2.describe_client_vpn_authorization_rules(**identifier)["AuthorizationRules"])
    assert (rule["DestinationCidr"], rule["AccessAll"]) == ("10.0.0.0/16", True)


def test_the_device_has_a_thing_and_a_certificate_with_the_policy_bound_to_the_endpoint(
    stack: Stack, cloud: Cloud
) -> None:
    iot = cloud.client("iot")
    certificate = only(iot.list_certificates()["certificates"])
    assert certificate["status"] == "ACTIVE"
    assert iot.list_thing_principals(thingName="pi-1")["principals"] == [certificate["certificateArn"]]
    policy = only(iot.list_attached_policies(target=certificate["certificateArn"])["policies"])
    document = json.loads(iot.get_policy(policyName=policy["policyName"])["policyDocument"])
    conditions = [statement["Condition"]["StringEquals"]["aws:SourceVpce"] for statement in document["Statement"]]
    assert set(conditions) == {_vpc_endpoint(cloud)["VpcEndpointId"]}
    assert document == stack.outputs()["iotPolicy"]


def test_the_outputs_name_what_the_cloud_has(stack: Stack, cloud: Cloud) -> None:
    outputs = json.loads(stack.shown_outputs())
    assert outputs == stack.outputs()
    assert set(outputs) == {
        "iotEndpoint",
        "vpcEndpointId",
        "vpcCidr",
        "dnsServer",
        "clientVpnEndpointId",
        "iotPolicy",
        "clientVpnConfigs",
        "devices",
        "deviceBundles",
        "vpnCertificates",
        "certificateExpiry",
        "revokedSerialNumbers",
        "revocationList",
    }
    assert outputs["vpcEndpointId"] == _vpc_endpoint(cloud)["VpcEndpointId"]
    assert outputs["clientVpnEndpointId"] == _client_vpn(cloud)["ClientVpnEndpointId"]
    assert (outputs["vpcCidr"], outputs["dnsServer"]) == ("10.0.0.0/16", "10.0.0.2")
    assert (outputs["clientVpnConfigs"], outputs["devices"]) == ("[secret]", "[secret]")


def test_shown_secrets_are_bundles_that_the_device_agent_takes(stack: Stack, cloud: Cloud) -> None:
    outputs = json.loads(stack.shown_outputs("--show-secrets"))
    assert outputs == stack.outputs(show_secrets=True)
    bundle = parse_bundle(json.dumps(outputs).encode(), device="pi-1", now=time.time())
    assert bundle.name == "pi-1"
    assert outputs["devices"]["pi-1"]["vpn"]["config"] == outputs["clientVpnConfigs"]["pi-1"]
    assert outputs["devices"]["pi-1"]["network"]["vpcEndpointId"] == _vpc_endpoint(cloud)["VpcEndpointId"]


def test_no_private_key_is_in_clear_in_what_up_said_in_its_debug_output_or_in_the_engines_log(
    deployed: tuple[Stack, Outcome],
) -> None:
    stack, outcome = deployed
    assert "debug: " in outcome.text
    assert '"v":8' in outcome.text or '"v":7' in outcome.text
    assert not PRIVATE_KEY.search(outcome.text)
    assert not PRIVATE_KEY.search(json.dumps(outcome.events))
    assert not any(secret in outcome.text for secret in _key_lines(stack))


def test_no_private_key_is_in_clear_in_the_state_or_in_any_file_of_the_stack(stack: Stack) -> None:
    secrets = _key_lines(stack)
    assert len(secrets) > 10
    files = [each for each in stack.directory.rglob("*") if each.is_file()]
    assert any(each.name == f"{stack.name}.json" for each in files)
    for file in files:
        text = file.read_text(errors="replace")
        assert not PRIVATE_KEY.search(text), file
        assert not any(secret in text for secret in secrets), file


def test_no_private_key_is_in_clear_in_plain_outputs_previews_and_exports(stack: Stack) -> None:
    exported = stack.engine.run("stack", "export", "--stack", stack.name, cwd=stack.project).stdout
    assert json.loads(exported)["deployment"] == stack.export()
    texts = [stack.shown_outputs(), exported, stack.preview("--show-sames", "--debug").text]
    for text in texts:
        assert not PRIVATE_KEY.search(text)


def _key_lines(stack: Stack) -> set[str]:
    """Return every line of every private key of the stack, whatever stands around it."""
    shown = json.dumps(stack.outputs(show_secrets=True)["devices"])
    blocks = re.findall(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(.*?)-----END", shown)
    assert len(blocks) == 2
    return {line for block in blocks for line in block.split("\\n") if len(line) > 20}
