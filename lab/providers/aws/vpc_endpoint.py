"""`aws:ec2/vpcEndpoint:VpcEndpoint`.

Source: terraform-provider-aws ``internal/service/ec2/vpc_endpoint.go``. Left out: `autoAccept`, VPC Lattice, and of
`dnsOptions` what is Lattice's.
"""

from lab.providers.aws.common import POLICY
from lab.providers.aws.description import Description, Operation, State, served
from lab.providers.aws.shapes import Answer
from lab.providers.schema import boolean, list_of, object_of, set_of, string
from lab.providers.values import Properties

_TYPES = ("Interface", "Gateway", "GatewayLoadBalancer")


def _seen(op: Operation, endpoint: Answer) -> Properties:
    # The address list of a service that has gateway endpoints (S3, DynamoDB); the others have none.
    filters = [{"Name": "prefix-list-name", "Values": [endpoint.get("ServiceName") or ""]}]
    [addresses, *_] = op.api.describe_prefix_lists(Filters=filters)["PrefixLists"] or [{}]
    return {
        "cidrBlocks": addresses.get("Cidrs") or [],
        "prefixListId": addresses.get("PrefixListId"),
        "securityGroupIds": sorted(group["GroupId"] for group in endpoint.get("Groups") or []),
        "serviceRegion": endpoint.get("ServiceRegion") or op.region,
        "subnetConfigurations": _configurations_seen(op, endpoint.get("NetworkInterfaceIds") or []),
        "vpcEndpointType": endpoint.get("VpcEndpointType") or "Gateway",
    }


def _configurations_seen(op: Operation, interfaces: list[str]) -> list[Properties]:
    if not interfaces:
        return []
    seen = [
        {
            "subnetId": interface.get("SubnetId"),
            "ipv4": interface.get("PrivateIpAddress"),
            "ipv6": next((address.get("Ipv6Address") for address in interface.get("Ipv6Addresses") or []), None),
        }
        for interface in op.api.describe_network_interfaces(NetworkInterfaceIds=interfaces)["NetworkInterfaces"]
    ]
    return sorted(seen, key=lambda entry: str(entry["subnetId"]))


def _changed_arguments(op: Operation) -> Answer:
    arguments: Answer = {}
    for name in ("routeTableIds", "securityGroupIds", "subnetIds"):
        if name in op.changed:
            field = name[0].upper() + name[1:]
            for verb, values in zip(("Remove", "Add"), op.difference(name), strict=True):
                arguments[f"{verb}{field}"] = sorted(values) or None
    if "policy" in op.changed and not op.inputs.get("policy"):
        arguments["ResetPolicy"] = True
    return arguments


def _private_dns_of_another_type(state: Properties, inputs: Properties, changed: frozenset[str]) -> frozenset[str]:
    """Only an interface endpoint can change privateDnsEnabled in place (CustomizeDiff in the provider's file)."""
    interface = inputs.get("vpcEndpointType") == "Interface"
    return frozenset() if interface else frozenset({"privateDnsEnabled"})


_ENDPOINT = Description(
    type="aws:ec2/vpcEndpoint:VpcEndpoint",
    title="EC2 VPC Endpoint",
    also_replaces=_private_dns_of_another_type,
    recomputed={
        "subnetIds": ("networkInterfaceIds", "subnetConfigurations"),
        "subnetConfigurations": ("networkInterfaceIds", "subnetIds"),
    },
    service="ec2",
    inputs={
        "dnsOptions": object_of(
            {
                "dnsRecordIpType": string(computed=True, allowed=("ipv4", "dualstack", "ipv6", "service-defined")),
                "privateDnsOnlyForInboundResolverEndpoint": boolean(),
            },
            computed=True,
        ),
        "ipAddressType": string(
            computed=True,
            allowed=("ipv4", "dualstack", "ipv6"),
            same=lambda old, new: str(old).lower() == str(new).lower(),
        ),
        "policy": string(computed=True, **POLICY),
        "privateDnsEnabled": boolean(computed=True),
        "routeTableIds": set_of(string(), computed=True),
        "securityGroupIds": set_of(string(), computed=True),
        "serviceName": string(force_new=True),
        "serviceRegion": string(computed=True, force_new=True),
        "subnetConfigurations": set_of(
            object_of({"ipv4": string(), "ipv6": string(), "subnetId": string()}), computed=True
        ),
        "subnetIds": set_of(string(), computed=True),
        "vpcEndpointType": string(default="Gateway", force_new=True, allowed=_TYPES),
        "vpcId": string(required=True, force_new=True),
    },
    outputs={
        "cidrBlocks": set_of(string()),
        "dnsEntries": list_of(object_of({"dnsName": string(), "hostedZoneId": string()})),
        "networkInterfaceIds": set_of(string()),
        "ownerId": string(),
        "prefixListId": string(),
        "requesterManaged": boolean(),
        "state": string(),
    },
    find=("describe_vpc_endpoints", "VpcEndpointIds[]", "VpcEndpoints[]"),
    gone=("InvalidVpcEndpointId.NotFound", "InvalidVpcEndpoint.NotFound"),
    create=("create_vpc_endpoint", "VpcEndpoint.VpcEndpointId"),
    modify=("modify_vpc_endpoint", "VpcEndpointId"),
    fields={"policy": "PolicyDocument"},
    state=State(
        "State",
        wanted=("available", "pendingacceptance"),
        failed=("failed", "rejected", "expired"),
        reason="LastError.Message",
        gone=("deleted", "Deleted"),
    ),
    arn="vpc-endpoint/{id}",
    tags="vpc-endpoint",
    arguments=lambda op: {"PrivateDnsEnabled": bool(op.inputs.get("privateDnsEnabled"))},
    changed_arguments=_changed_arguments,
    seen=_seen,
    delete=("delete_vpc_endpoints", "VpcEndpointIds[]"),
    busy=("DependencyViolation",),
)

RESOURCES = served(_ENDPOINT)
