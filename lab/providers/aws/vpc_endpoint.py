"""`aws:ec2/vpcEndpoint:VpcEndpoint`. Source: terraform-provider-aws ``internal/service/ec2/vpc_endpoint.go``."""

from lab.providers.aws.clients import attempt
from lab.providers.aws.common import arn, document_of, json_document, normal_json, same_policy
from lab.providers.aws.description import Answer, Description, State, settled
from lab.providers.schema import boolean, list_of, object_of, set_of, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_SETS = ("routeTableIds", "securityGroupIds", "subnetIds")


def _accept(call: Call, identifier: str, inputs: Properties) -> None:
    endpoint = _ENDPOINT.found(call, identifier, inputs) or {}
    if not inputs.get("autoAccept") or endpoint.get("State", "").lower() != "pendingacceptance":
        return
    ec2, what = call.client("ec2"), f"accepting EC2 VPC Endpoint ({identifier}) connection"
    filters = [{"Name": "service-name", "Values": [endpoint["ServiceName"]]}]
    services = attempt(
        what, lambda: ec2.describe_vpc_endpoint_service_configurations(Filters=filters)["ServiceConfigurations"]
    )
    for service in services:
        accepted = {"ServiceId": service["ServiceId"], "VpcEndpointIds": [identifier]}
        attempt(what, lambda: ec2.accept_vpc_endpoint_connections(**accepted))  # noqa: B023 - called at once
    _ENDPOINT.wait(call, identifier, inputs, "create")


def _seen(call: Call, endpoint: Answer, state: Properties) -> Properties:
    ec2 = call.client("ec2")
    # The address list of a service that has gateway endpoints (S3, DynamoDB); the others have none.
    filters = [{"Name": "prefix-list-name", "Values": [endpoint.get("ServiceName") or ""]}]
    found = ec2.describe_prefix_lists(Filters=filters)["PrefixLists"]
    addresses = found[0] if found else {}
    document = endpoint.get("PolicyDocument")
    return {
        "cidrBlocks": addresses.get("Cidrs") or [],
        "policy": document_of(document, state.get("policy")) if document else None,
        "prefixListId": addresses.get("PrefixListId"),
        "securityGroupIds": sorted(group["GroupId"] for group in endpoint.get("Groups") or []),
        "serviceRegion": endpoint.get("ServiceRegion") or call.region or call.session.region,
        "subnetConfigurations": _configurations_seen(call, endpoint),
        "vpcEndpointType": endpoint.get("VpcEndpointType") or "Gateway",
    }


def _configurations_seen(call: Call, endpoint: Answer) -> list[Properties]:
    interfaces = endpoint.get("NetworkInterfaceIds") or []
    if not interfaces:
        return []
    found = call.client("ec2").describe_network_interfaces(NetworkInterfaceIds=interfaces)["NetworkInterfaces"]
    seen = []
    for interface in found:
        addresses = interface.get("Ipv6Addresses") or []
        seen.append(
            {
                "subnetId": interface.get("SubnetId"),
                "ipv4": interface.get("PrivateIpAddress"),
                "ipv6": addresses[0].get("Ipv6Address") if addresses else None,
            }
        )
    return sorted(seen, key=lambda entry: str(entry["subnetId"]))


def _changed_arguments(state: Properties, inputs: Properties, changed: frozenset[str]) -> Answer:
    arguments: Answer = {}
    for name in _SETS:
        if name in changed:
            old, new = (set(given.get(name) or []) for given in (state, inputs))
            field = name[0].upper() + name[1:]
            parts = {f"Add{field}": sorted(new - old), f"Remove{field}": sorted(old - new)}
            arguments.update({argument: values for argument, values in parts.items() if values})
    if "policy" in changed and not inputs.get("policy"):
        arguments["ResetPolicy"] = True
    return arguments


def _private_dns_of_another_type(state: Properties, inputs: Properties, changed: frozenset[str]) -> frozenset[str]:
    """Only an interface endpoint can change privateDnsEnabled in place (CustomizeDiff in the provider's file)."""
    del state, changed
    interface = inputs.get("vpcEndpointType") == "Interface"
    return frozenset() if interface else frozenset({"privateDnsEnabled"})


_ENDPOINT = Description(
    type="aws:ec2/vpcEndpoint:VpcEndpoint",
    title="EC2 VPC Endpoint",
    service="ec2",
    inputs={
        "autoAccept": boolean(),
        "dnsOptions": object_of(
            {
                "dnsRecordIpType": string(computed=True, allowed=("ipv4", "dualstack", "ipv6", "service-defined")),
                "privateDnsOnlyForInboundResolverEndpoint": boolean(),
                "privateDnsPreference": string(
                    computed=True,
                    force_new=True,
                    allowed=(
                        "ALL_DOMAINS",
                        "VERIFIED_DOMAINS_ONLY",
                        "VERIFIED_DOMAINS_AND_SPECIFIED_DOMAINS",
                        "SPECIFIED_DOMAINS_ONLY",
                    ),
                ),
                "privateDnsSpecifiedDomains": set_of(string(), computed=True, force_new=True, minimum=1, maximum=10),
            },
            computed=True,
        ),
        "ipAddressType": string(
            computed=True,
            allowed=("ipv4", "dualstack", "ipv6"),
            same=lambda old, new: str(old).lower() == str(new).lower(),
        ),
        "policy": string(computed=True, validate=json_document, same=same_policy, normal=normal_json),
        "privateDnsEnabled": boolean(computed=True),
        "resourceConfigurationArn": string(
            force_new=True, conflicts=("serviceName", "serviceNetworkArn"), validate=arn
        ),
        "routeTableIds": set_of(string(), computed=True),
        "securityGroupIds": set_of(string(), computed=True),
        "serviceName": string(force_new=True, conflicts=("resourceConfigurationArn", "serviceNetworkArn")),
        "serviceNetworkArn": string(
            force_new=True, conflicts=("serviceName", "resourceConfigurationArn"), validate=arn
        ),
        "serviceRegion": string(computed=True, force_new=True),
        "subnetConfigurations": set_of(
            object_of({"ipv4": string(), "ipv6": string(), "subnetId": string()}), computed=True
        ),
        "subnetIds": set_of(string(), computed=True),
        "vpcEndpointType": string(
            default="Gateway",
            force_new=True,
            allowed=("Interface", "Gateway", "GatewayLoadBalancer", "Resource", "ServiceNetwork"),
        ),
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
    sent=(
        "dnsOptions",
        "ipAddressType",
        "policy",
        "resourceConfigurationArn",
        "serviceName",
        "serviceNetworkArn",
        "serviceRegion",
        "subnetConfigurations",
        "vpcEndpointType",
        "vpcId",
        *_SETS,
    ),
    modify=("modify_vpc_endpoint", "VpcEndpointId"),
    modified=("dnsOptions", "ipAddressType", "policy", "privateDnsEnabled", "subnetConfigurations"),
    fields={"policy": "PolicyDocument"},
    kept=("autoAccept",),
    state=State(
        "State",
        wanted=("available", "pendingacceptance"),
        failed=("failed", "rejected", "expired"),
        reason="LastError.Message",
        gone=("deleted", "Deleted"),
    ),
    arn="vpc-endpoint/{id}",
    tags="ec2:vpc-endpoint",
    arguments=lambda _call, inputs: {"PrivateDnsEnabled": bool(inputs.get("privateDnsEnabled"))},
    changed_arguments=_changed_arguments,
    settle=_accept,
    seen=_seen,
    delete=("delete_vpc_endpoints", "VpcEndpointIds[]"),
    busy=("DependencyViolation",),
)

RESOURCES = settled(
    [
        _ENDPOINT.resource(
            also_replaces=_private_dns_of_another_type,
            recomputed={
                "subnetIds": ("networkInterfaceIds", "subnetConfigurations"),
                "subnetConfigurations": ("networkInterfaceIds", "subnetIds"),
            },
        )
    ]
)
