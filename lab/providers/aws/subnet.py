"""`aws:ec2/subnet:Subnet`. Source: terraform-provider-aws ``internal/service/ec2/vpc_subnet.go``."""

from typing import Any

from lab.providers.aws.common import (
    REGION,
    TAGS,
    attempt,
    cidr_block,
    has_code,
    picked,
    tag_specifications,
    unless_gone,
    update_ec2_tags,
)
from lab.providers.aws.tags import from_list
from lab.providers.schema import Resource, Timeouts, boolean, integer, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_GONE = ("InvalidSubnetID.NotFound",)
# Input → the argument of ModifySubnetAttribute, each of which takes a call of its own.
_SWITCHES = {
    "assignIpv6AddressOnCreation": "AssignIpv6AddressOnCreation",
    "enableDns64": "EnableDns64",
    "enableResourceNameDnsAaaaRecordOnLaunch": "EnableResourceNameDnsAAAARecordOnLaunch",
    "enableResourceNameDnsARecordOnLaunch": "EnableResourceNameDnsARecordOnLaunch",
    "mapPublicIpOnLaunch": "MapPublicIpOnLaunch",
}


def _find(call: Call, identifier: str) -> dict[str, Any] | None:
    ec2 = call.client("ec2")
    found = unless_gone(
        f"reading EC2 Subnet ({identifier})", _GONE, lambda: ec2.describe_subnets(SubnetIds=[identifier])["Subnets"]
    )
    return found[0] if found else None


def _create(call: Call, inputs: Properties) -> str:
    arguments = picked(
        inputs,
        {
            "VpcId": "vpcId",
            "CidrBlock": "cidrBlock",
            "AvailabilityZone": "availabilityZone",
            "AvailabilityZoneId": "availabilityZoneId",
            "Ipv6CidrBlock": "ipv6CidrBlock",
            "Ipv6Native": "ipv6Native",
            "OutpostArn": "outpostArn",
        },
    )
    ec2 = call.client("ec2")
    answer = attempt(
        "creating EC2 Subnet", lambda: ec2.create_subnet(**arguments, **tag_specifications("subnet", inputs))
    )
    return str(answer["Subnet"]["SubnetId"])


def _settle(call: Call, identifier: str, inputs: Properties) -> None:
    def available() -> dict[str, Any] | None:
        subnet = _find(call, identifier)
        return subnet if subnet is not None and subnet.get("State") == "available" else None

    call.wait_until(f"EC2 Subnet ({identifier}) create", available)
    _modify(call, identifier, {name: inputs[name] for name in _SWITCHES if inputs.get(name)})
    hostname = inputs.get("privateDnsHostnameTypeOnLaunch")
    if hostname is not None:
        _modify(call, identifier, {"privateDnsHostnameTypeOnLaunch": hostname})


def _modify(call: Call, identifier: str, values: Properties) -> None:
    for name, value in values.items():
        if name == "privateDnsHostnameTypeOnLaunch":
            _modify_attribute(call, identifier, "PrivateDnsHostnameTypeOnLaunch", value)
        else:
            _modify_attribute(call, identifier, _SWITCHES[name], {"Value": bool(value)})


def _modify_attribute(call: Call, identifier: str, attribute: str, value: Any) -> None:
    ec2 = call.client("ec2")
    attempt(
        f"setting EC2 Subnet ({identifier}) {attribute}",
        lambda: ec2.modify_subnet_attribute(SubnetId=identifier, **{attribute: value}),
    )


def _read(call: Call, identifier: str, state: Properties) -> Properties | None:
    del state
    subnet = _find(call, identifier)
    if subnet is None:
        return None
    names = subnet.get("PrivateDnsNameOptionsOnLaunch") or {}
    blocks = [
        block
        for block in subnet.get("Ipv6CidrBlockAssociationSet") or []
        if (block.get("Ipv6CidrBlockState") or {}).get("State") == "associated"
    ]
    return {
        "arn": subnet.get("SubnetArn") or call.session.arn("ec2", f"subnet/{identifier}", call.region),
        "assignIpv6AddressOnCreation": subnet.get("AssignIpv6AddressOnCreation", False),
        "availabilityZone": subnet.get("AvailabilityZone"),
        "availabilityZoneId": subnet.get("AvailabilityZoneId"),
        "cidrBlock": subnet.get("CidrBlock"),
        "customerOwnedIpv4Pool": subnet.get("CustomerOwnedIpv4Pool"),
        "enableDns64": subnet.get("EnableDns64", False),
        "enableLniAtDeviceIndex": subnet.get("EnableLniAtDeviceIndex"),
        "enableResourceNameDnsARecordOnLaunch": names.get("EnableResourceNameDnsARecord", False),
        "enableResourceNameDnsAaaaRecordOnLaunch": names.get("EnableResourceNameDnsAAAARecord", False),
        "ipv6CidrBlock": blocks[0].get("Ipv6CidrBlock") if blocks else None,
        "ipv6CidrBlockAssociationId": blocks[0].get("AssociationId") if blocks else None,
        "ipv6Native": subnet.get("Ipv6Native", False),
        "mapCustomerOwnedIpOnLaunch": subnet.get("MapCustomerOwnedIpOnLaunch"),
        "mapPublicIpOnLaunch": subnet.get("MapPublicIpOnLaunch", False),
        "outpostArn": subnet.get("OutpostArn"),
        "ownerId": subnet.get("OwnerId"),
        "privateDnsHostnameTypeOnLaunch": names.get("HostnameType"),
        "tagsAll": from_list(subnet.get("Tags")),
        "vpcId": subnet.get("VpcId"),
    }


def _update(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    if "ipv6CidrBlock" in changed:
        _change_ipv6(call, identifier, state, inputs["ipv6CidrBlock"])
    switched = {name: inputs.get(name, False) for name in _SWITCHES if name in changed}
    if "privateDnsHostnameTypeOnLaunch" in changed:
        switched["privateDnsHostnameTypeOnLaunch"] = inputs["privateDnsHostnameTypeOnLaunch"]
    _modify(call, identifier, switched)
    if "tagsAll" in changed:
        update_ec2_tags(call, identifier, "EC2 Subnet", state, inputs)


def _change_ipv6(call: Call, identifier: str, state: Properties, block: str) -> None:
    ec2 = call.client("ec2")
    what = f"updating EC2 Subnet ({identifier}): IPv6 CIDR block"
    if state.get("ipv6CidrBlockAssociationId"):
        attempt(what, lambda: ec2.disassociate_subnet_cidr_block(AssociationId=state["ipv6CidrBlockAssociationId"]))
    attempt(what, lambda: ec2.associate_subnet_cidr_block(SubnetId=identifier, Ipv6CidrBlock=block))


def _assigned_ipv6(state: Properties, inputs: Properties, changed: frozenset[str]) -> frozenset[str]:
    """A subnet that gave its interfaces IPv6 addresses is replaced with its block (CustomizeDiff in the provider)."""
    del inputs, changed
    return frozenset({"ipv6CidrBlock"}) if state.get("assignIpv6AddressOnCreation") else frozenset()


def _delete(call: Call, identifier: str, state: Properties) -> None:
    del state
    ec2 = call.client("ec2")
    what = f"deleting EC2 Subnet ({identifier})"
    unless_gone(
        what,
        _GONE,
        lambda: call.retry(
            what, lambda: ec2.delete_subnet(SubnetId=identifier), while_error=has_code("DependencyViolation")
        ),
    )


RESOURCES = {
    "aws:ec2/subnet:Subnet": Resource(
        type="aws:ec2/subnet:Subnet",
        title="EC2 Subnet",
        inputs={
            **REGION,
            **TAGS,
            "assignIpv6AddressOnCreation": boolean(default=False),
            "availabilityZone": string(computed=True, force_new=True, conflicts=("availabilityZoneId",)),
            "availabilityZoneId": string(computed=True, force_new=True, conflicts=("availabilityZone",)),
            "cidrBlock": string(computed=True, force_new=True, validate=cidr_block()),
            "customerOwnedIpv4Pool": string(requires=("mapCustomerOwnedIpOnLaunch", "outpostArn")),
            "enableDns64": boolean(default=False),
            "enableLniAtDeviceIndex": integer(),
            "enableResourceNameDnsARecordOnLaunch": boolean(default=False),
            "enableResourceNameDnsAaaaRecordOnLaunch": boolean(default=False),
            "ipv4IpamPoolId": string(force_new=True, conflicts=("customerOwnedIpv4Pool",)),
            "ipv4NetmaskLength": integer(
                minimum=16,
                maximum=28,
                force_new=True,
                conflicts=("cidrBlock", "customerOwnedIpv4Pool"),
                requires=("ipv4IpamPoolId",),
            ),
            "ipv6CidrBlock": string(computed=True),
            "ipv6IpamPoolId": string(force_new=True),
            "ipv6Native": boolean(default=False, force_new=True),
            "ipv6NetmaskLength": integer(force_new=True, conflicts=("ipv6CidrBlock",), requires=("ipv6IpamPoolId",)),
            "mapCustomerOwnedIpOnLaunch": boolean(requires=("customerOwnedIpv4Pool", "outpostArn")),
            "mapPublicIpOnLaunch": boolean(default=False),
            "outpostArn": string(force_new=True),
            "privateDnsHostnameTypeOnLaunch": string(computed=True, allowed=("ip-name", "resource-name")),
            "vpcId": string(required=True, force_new=True),
        },
        outputs={"arn": string(), "ipv6CidrBlockAssociationId": string(), "ownerId": string()},
        also_replaces=_assigned_ipv6,
        create=_create,
        settle=_settle,
        read=_read,
        update=_update,
        delete=_delete,
        timeouts=Timeouts(create=600, delete=1200),
    )
}
