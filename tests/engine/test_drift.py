"""What somebody changes in AWS behind Pulumi's back is seen by a refresh and mended by an up.

Cannot prove that every attribute of the vendor's resources is read back; only those that a test changes.
"""

import json
from collections.abc import Callable

import pytest

from tests.engine.aws import Cloud
from tests.engine.conftest import StackFactory
from tests.engine.stack import Stack

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def stack(new_stack: StackFactory) -> Stack:
    stack = new_stack(config={"private-iot:devices": ["pi-1"], "private-iot:availabilityZones": ["ap-northeast-1a"]})
    stack.up()
    return stack


def identifier(stack: Stack, kind: str, name: str = "") -> str:
    """Return the physical identifier of the one resource of a type whose name ends as given."""
    found = [each for each in stack.resources() if each["type"] == kind and each["urn"].endswith(name)]
    assert len(found) == 1, (kind, name, found)
    physical: str = found[0]["id"]
    return physical


def mended(stack: Stack, cloud: Cloud, expected: dict[str, list[str]], steps: dict[str, dict[str, int]]) -> None:
    """Refresh, up, and show that the cloud is what it was and that nothing more is to be done.

    Args:
        stack: The stack whose cloud was changed.
        cloud: Its cloud.
        expected: The inventory before, with what gets another identifier left out.
        steps: Operation → type → how many, of the up.
    """
    seen = stack.refresh()
    assert seen.steps, "the refresh did not see the change"
    outcome = stack.up()
    assert {op: outcome.counts(op) for op in outcome.ops} == steps
    after = cloud.inventory()
    assert {kind: after[kind] for kind in expected} == expected
    stack.preview("--expect-no-changes")


def _without(inventory: dict[str, list[str]], *kinds: str) -> dict[str, list[str]]:
    return {kind: things for kind, things in inventory.items() if kind not in kinds}


def test_an_opened_default_security_group_is_emptied_again(stack: Stack, cloud: Cloud) -> None:
    before = cloud.inventory()
    group = identifier(stack, "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup")
    permission = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    cloud.client("ec2").authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    assert cloud.inventory() != before
    mended(stack, cloud, before, {"update": {"aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": 1}})


def test_a_deleted_record_is_made_again(stack: Stack, cloud: Cloud) -> None:
    before = cloud.inventory()
    dns = cloud.client("route53")
    zone = identifier(stack, "aws:route53/zone:Zone")
    records = dns.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    record = next(each for each in records if each["Type"] == "A")
    changes = {"Changes": [{"Action": "DELETE", "ResourceRecordSet": record}]}
    dns.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=changes)
    mended(stack, cloud, before, {"create": {"aws:route53/record:Record": 1}})


def test_a_deleted_authorization_rule_is_made_again(stack: Stack, cloud: Cloud) -> None:
    before = cloud.inventory()
    endpoint = identifier(stack, "aws:ec2clientvpn/endpoint:Endpoint")
    cloud.client("ec2").revoke_client_vpn_ingress(
        ClientVpnEndpointId=endpoint, TargetNetworkCidr="10.0.0.0/16", RevokeAllGroups=True
    )
    mended(stack, cloud, before, {"create": {"aws:ec2clientvpn/authorizationRule:AuthorizationRule": 1}})


def test_a_revoked_rule_between_the_groups_is_made_again(stack: Stack, cloud: Cloud) -> None:
    before = cloud.inventory()
    kind = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
    rule = identifier(stack, kind, "ingress-8883")
    group = identifier(stack, "aws:ec2/securityGroup:SecurityGroup", "sg-privatelink")
    cloud.client("ec2").revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[rule])
    mended(stack, cloud, _without(before, "securityGroupRule"), {"create": {kind: 1}})
    assert len(cloud.inventory()["securityGroupRule"]) == len(before["securityGroupRule"])


def _deactivate_certificate(stack: Stack, cloud: Cloud) -> None:
    certificate = identifier(stack, "aws:iot/certificate:Certificate")
    cloud.client("iot").update_certificate(certificateId=certificate, newStatus="INACTIVE")


def _widen_policy(stack: Stack, cloud: Cloud) -> None:
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
    cloud.client("iot").create_policy_version(
        policyName=identifier(stack, "aws:iot/policy:Policy"), policyDocument=json.dumps(document), setAsDefault=True
    )


def _full_tunnel(stack: Stack, cloud: Cloud) -> None:
    endpoint = identifier(stack, "aws:ec2clientvpn/endpoint:Endpoint")
    cloud.client("ec2").modify_client_vpn_endpoint(ClientVpnEndpointId=endpoint, SplitTunnel=False)


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (_deactivate_certificate, "aws:iot/certificate:Certificate"),
        (_widen_policy, "aws:iot/policy:Policy"),
        (_full_tunnel, "aws:ec2clientvpn/endpoint:Endpoint"),
    ],
)
def test_a_changed_setting_is_set_back_in_place(
    stack: Stack, cloud: Cloud, change: Callable[[Stack, Cloud], None], kind: str
) -> None:
    before = cloud.inventory()
    change(stack, cloud)
    mended(stack, cloud, before, {"update": {kind: 1}})


def test_a_detached_policy_is_attached_again(stack: Stack, cloud: Cloud) -> None:
    iot = cloud.client("iot")
    policy = identifier(stack, "aws:iot/policy:Policy")
    target = iot.list_targets_for_policy(policyName=policy)["targets"][0]
    before = cloud.inventory()
    iot.detach_policy(policyName=policy, target=target)
    mended(stack, cloud, before, {"create": {"aws:iot/policyAttachment:PolicyAttachment": 1}})
    assert iot.list_targets_for_policy(policyName=policy)["targets"] == [target]
