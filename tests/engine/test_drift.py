"""What somebody changes in AWS behind Pulumi's back is seen by a refresh and mended by an up.

Cannot prove that every attribute of the vendor's resources is read back; only those that a test changes.
"""

import json
import re
from collections.abc import Callable

import pytest

from tests.engine.aws import Cloud
from tests.engine.conftest import StackFactory
from tests.engine.stack import Stack

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def stack(new_stack: StackFactory, cloud: Cloud) -> Stack:
    stack = new_stack(
        cloud, config={"private-iot:devices": ["pi-1"], "private-iot:availabilityZones": ["ap-northeast-1a"]}
    )
    stack.up()
    return stack


def identifier(stack: Stack, kind: str, name: str = "") -> str:
    """Return the physical identifier of the one resource of a type whose name ends as given."""
    found = [each for each in stack.resources() if each["type"] == kind and each["urn"].endswith(name)]
    assert len(found) == 1, (kind, name, found)
    physical: str = found[0]["id"]
    return physical


def _open_default_group(stack: Stack, cloud: Cloud) -> None:
    group = identifier(stack, "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup")
    permission = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    cloud.client("ec2").authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])


def _delete_record(stack: Stack, cloud: Cloud) -> None:
    dns = cloud.client("route53")
    zone = identifier(stack, "aws:route53/zone:Zone")
    records = dns.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    record = next(each for each in records if each["Type"] == "A")
    changes = {"Changes": [{"Action": "DELETE", "ResourceRecordSet": record}]}
    dns.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=changes)


def _revoke_authorization(stack: Stack, cloud: Cloud) -> None:
    endpoint = identifier(stack, "aws:ec2clientvpn/endpoint:Endpoint")
    cloud.client("ec2").revoke_client_vpn_ingress(
        ClientVpnEndpointId=endpoint, TargetNetworkCidr="10.0.0.0/16", RevokeAllGroups=True
    )


def _revoke_rule(stack: Stack, cloud: Cloud) -> None:
    rule = identifier(stack, "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule", "ingress-8883")
    group = identifier(stack, "aws:ec2/securityGroup:SecurityGroup", "sg-privatelink")
    cloud.client("ec2").revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[rule])


def _deactivate_certificate(stack: Stack, cloud: Cloud) -> None:
    certificate = identifier(stack, "aws:iot/certificate:Certificate")
    cloud.client("iot").update_certificate(certificateId=certificate, newStatus="INACTIVE")


def _widen_policy(stack: Stack, cloud: Cloud) -> None:
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
    cloud.client("iot").create_policy_version(
        policyName=identifier(stack, "aws:iot/policy:Policy"), policyDocument=json.dumps(document), setAsDefault=True
    )


def _turn_split_tunnel_off(stack: Stack, cloud: Cloud) -> None:
    endpoint = identifier(stack, "aws:ec2clientvpn/endpoint:Endpoint")
    cloud.client("ec2").modify_client_vpn_endpoint(ClientVpnEndpointId=endpoint, SplitTunnel=False)


def _detach_policy(stack: Stack, cloud: Cloud) -> None:
    iot = cloud.client("iot")
    policy = identifier(stack, "aws:iot/policy:Policy")
    iot.detach_policy(policyName=policy, target=iot.list_targets_for_policy(policyName=policy)["targets"][0])


AUTHORIZATION_RULE = "aws:ec2clientvpn/authorizationRule:AuthorizationRule"

# What somebody did in the console, and what an up does about it: operation and type.
CHANGES: dict[Callable[[Stack, Cloud], None], tuple[str, str]] = {
    _open_default_group: ("update", "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"),
    _delete_record: ("create", "aws:route53/record:Record"),
    _revoke_authorization: ("create", AUTHORIZATION_RULE),
    _revoke_rule: ("create", "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"),
    _deactivate_certificate: ("update", "aws:iot/certificate:Certificate"),
    _widen_policy: ("update", "aws:iot/policy:Policy"),
    _turn_split_tunnel_off: ("update", "aws:ec2clientvpn/endpoint:Endpoint"),
    _detach_policy: ("create", "aws:iot/policyAttachment:PolicyAttachment"),
}


def _comparable(inventory: dict[str, list[str]]) -> dict[str, list[str]]:
    """Leave out what a rule that is made again gets anew: its identifier."""
    return {kind: sorted(re.sub(r"\bsgr-\w+", "sgr", thing) for thing in things) for kind, things in inventory.items()}


def test_changes_behind_pulumis_back_are_seen_by_a_refresh_and_mended_by_an_up(stack: Stack, cloud: Cloud) -> None:
    before = cloud.inventory()
    attached = cloud.client("iot").list_targets_for_policy(policyName=identifier(stack, "aws:iot/policy:Policy"))
    for change in CHANGES:
        change(stack, cloud)
    seen = stack.refresh().steps
    # AWS takes its time to revoke, and the provider reads a rule that is being revoked as there still.
    assert not [step for step in seen if step.type == AUTHORIZATION_RULE]
    late = stack.refresh().steps
    assert [(step.op, step.type) for step in late] == [("delete", AUTHORIZATION_RULE)]
    assert sorted((step.type, "create" if step.op == "delete" else step.op) for step in (*seen, *late)) == sorted(
        (kind, op) for op, kind in CHANGES.values()
    )
    mended = stack.up()
    assert sorted((step.op, step.type) for step in mended.steps) == sorted(CHANGES.values())
    assert _comparable(cloud.inventory()) == _comparable(before)
    policy = identifier(stack, "aws:iot/policy:Policy")
    assert cloud.client("iot").list_targets_for_policy(policyName=policy)["targets"] == attached["targets"]
    stack.preview("--expect-no-changes")


def test_one_up_with_refresh_mends_a_change_too(stack: Stack, cloud: Cloud) -> None:
    _delete_record(stack, cloud)
    outcome = stack.up("--refresh")
    assert outcome.counts("create") == {"aws:route53/record:Record": 1}
    stack.preview("--expect-no-changes")
