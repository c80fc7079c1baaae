"""`aws:ec2/vpcEndpoint:VpcEndpoint`. Source: terraform-provider-aws ``internal/service/ec2/vpc_endpoint.go``."""

from typing import Any

from lab.providers.aws.common import (
    REGION,
    TAGS,
    arn,
    attempt,
    has_code,
    json_document,
    picked,
    same_policy,
    tag_specifications,
    unless_gone,
    update_ec2_tags,
)
from lab.providers.aws.tags import from_list
from lab.providers.errors import ProviderError
from lab.providers.schema import Resource, Timeouts, boolean, object_of, set_of, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

_GONE = ("InvalidVpcEndpointId.NotFound", "InvalidVpcEndpoint.NotFound")
_SETS = {"routeTableIds": "RouteTableIds", "securityGroupIds": "SecurityGroupIds", "subnetIds": "SubnetIds"}


def _find(call: Call, identifier: str) -> dict[str, Any] | None:
    ec2 = call.client("ec2")
    found = unless_gone(
        f"reading EC2 VPC Endpoint ({identifier})",
        _GONE,
        lambda: ec2.describe_vpc_endpoints(VpcEndpointIds=[identifier])["VpcEndpoints"],
    )
    if not found or found[0].get("State", "").lower() == "deleted":
        return None
    return dict(found[0])


def _create(call: Call, inputs: Properties) -> str:
    ec2 = call.client("ec2")
    arguments = picked(
        inputs,
        {
            "IpAddressType": "ipAddressType",
            "PolicyDocument": "policy",
            "ResourceConfigurationArn": "resourceConfigurationArn",
            "RouteTableIds": "routeTableIds",
            "SecurityGroupIds": "securityGroupIds",
            "ServiceName": "serviceName",
            "ServiceNetworkArn": "serviceNetworkArn",
            "ServiceRegion": "serviceRegion",
            "SubnetIds": "subnetIds",
        },
    )
    arguments.update(_dns_options(inputs), **_subnet_configurations(inputs))
    answer = attempt(
        f"creating EC2 VPC Endpoint ({inputs.get('serviceName')})",
        lambda: ec2.create_vpc_endpoint(
            VpcId=inputs["vpcId"],
            VpcEndpointType=inputs["vpcEndpointType"],
            PrivateDnsEnabled=bool(inputs.get("privateDnsEnabled", False)),
            **arguments,
            **tag_specifications("vpc-endpoint", inputs),
        ),
    )
    return str(answer["VpcEndpoint"]["VpcEndpointId"])


def _dns_options(inputs: Properties) -> dict[str, Any]:
    names = {
        "DnsRecordIpType": "dnsRecordIpType",
        "PrivateDnsOnlyForInboundResolverEndpoint": "privateDnsOnlyForInboundResolverEndpoint",
        "PrivateDnsPreference": "privateDnsPreference",
        "PrivateDnsSpecifiedDomains": "privateDnsSpecifiedDomains",
    }
    options = picked(inputs.get("dnsOptions") or {}, names)
    return {"DnsOptions": options} if options else {}


def _subnet_configurations(inputs: Properties) -> dict[str, Any]:
    names = {"SubnetId": "subnetId", "Ipv4": "ipv4", "Ipv6": "ipv6"}
    configurations = [picked(entry, names) for entry in inputs.get("subnetConfigurations") or []]
    return {"SubnetConfigurations": configurations} if configurations else {}


def _settle(call: Call, identifier: str, inputs: Properties) -> None:
    if inputs.get("autoAccept"):
        endpoint = _find(call, identifier)
        if endpoint and endpoint.get("State", "").lower() == "pendingacceptance":
            _accept(call, identifier, endpoint["ServiceName"])
    _wait_available(call, identifier, "create")


def _accept(call: Call, identifier: str, service: str) -> None:
    ec2 = call.client("ec2")
    filters = [{"Name": "service-name", "Values": [service]}]
    what = f"accepting EC2 VPC Endpoint ({identifier}) connection"
    services = attempt(
        what, lambda: ec2.describe_vpc_endpoint_service_configurations(Filters=filters)["ServiceConfigurations"]
    )
    if services:
        service_id = services[0]["ServiceId"]
        attempt(
            what,
            lambda: ec2.accept_vpc_endpoint_connections(ServiceId=service_id, VpcEndpointIds=[identifier]),
        )


def _wait_available(call: Call, identifier: str, purpose: str) -> None:
    def available() -> dict[str, Any] | None:
        endpoint = _find(call, identifier)
        state = (endpoint or {}).get("State", "").lower()
        if state in ("failed", "rejected", "expired"):
            last = ((endpoint or {}).get("LastError") or {}).get("Message", "no reason given")
            raise ProviderError(
                f"waiting for EC2 VPC Endpoint ({identifier}) {purpose}: unexpected state {state}: {last}"
            )
        return endpoint if state in ("available", "pendingacceptance") else None

    call.wait_until(f"EC2 VPC Endpoint ({identifier}) {purpose}", available)


def _read(call: Call, identifier: str, state: Properties) -> Properties | None:
    endpoint = _find(call, identifier)
    if endpoint is None:
        return None
    owner = endpoint.get("OwnerId") or call.session.account
    region = call.region or call.session.region
    document = endpoint.get("PolicyDocument")
    if document and state.get("policy") and same_policy(state["policy"], document):
        document = state["policy"]
    options = endpoint.get("DnsOptions")
    prefix_list = _prefix_list(call, endpoint.get("ServiceName"))
    return {
        "arn": f"arn:{call.session.partition}:ec2:{region}:{owner}:vpc-endpoint/{identifier}",
        "autoAccept": state.get("autoAccept"),
        "cidrBlocks": prefix_list.get("Cidrs") or [],
        "dnsEntries": [
            {"dnsName": entry.get("DnsName"), "hostedZoneId": entry.get("HostedZoneId")}
            for entry in endpoint.get("DnsEntries") or []
        ],
        "dnsOptions": {
            "dnsRecordIpType": options.get("DnsRecordIpType"),
            "privateDnsOnlyForInboundResolverEndpoint": options.get("PrivateDnsOnlyForInboundResolverEndpoint", False),
            "privateDnsPreference": options.get("PrivateDnsPreference"),
            "privateDnsSpecifiedDomains": options.get("PrivateDnsSpecifiedDomains"),
        }
        if options
        else None,
        "ipAddressType": endpoint.get("IpAddressType"),
        "networkInterfaceIds": sorted(endpoint.get("NetworkInterfaceIds") or []),
        "ownerId": owner,
        "policy": document,
        "prefixListId": prefix_list.get("PrefixListId"),
        "privateDnsEnabled": endpoint.get("PrivateDnsEnabled", False),
        "requesterManaged": endpoint.get("RequesterManaged", False),
        "resourceConfigurationArn": endpoint.get("ResourceConfigurationArn"),
        "routeTableIds": sorted(endpoint.get("RouteTableIds") or []),
        "securityGroupIds": sorted(group["GroupId"] for group in endpoint.get("Groups") or []),
        "serviceName": endpoint.get("ServiceName"),
        "serviceNetworkArn": endpoint.get("ServiceNetworkArn"),
        "serviceRegion": endpoint.get("ServiceRegion") or region,
        "state": endpoint.get("State"),
        "subnetConfigurations": _configurations_seen(call, identifier, endpoint),
        "subnetIds": sorted(endpoint.get("SubnetIds") or []),
        "tagsAll": from_list(endpoint.get("Tags")),
        "vpcEndpointType": endpoint.get("VpcEndpointType") or "Gateway",
        "vpcId": endpoint.get("VpcId"),
    }


def _prefix_list(call: Call, service: str | None) -> dict[str, Any]:
    """The address list of a service that has gateway endpoints (S3, DynamoDB); none for the others."""
    if service is None:
        return {}
    ec2 = call.client("ec2")
    filters = [{"Name": "prefix-list-name", "Values": [service]}]
    found = attempt(
        f"reading EC2 Prefix List ({service})", lambda: ec2.describe_prefix_lists(Filters=filters)["PrefixLists"]
    )
    return dict(found[0]) if found else {}


def _configurations_seen(call: Call, identifier: str, endpoint: dict[str, Any]) -> list[Properties]:
    interfaces = endpoint.get("NetworkInterfaceIds") or []
    if not interfaces:
        return []
    ec2 = call.client("ec2")
    found = attempt(
        f"reading VPC Endpoint ({identifier}) subnet configurations",
        lambda: ec2.describe_network_interfaces(NetworkInterfaceIds=interfaces)["NetworkInterfaces"],
    )
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


def _update(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    arguments: dict[str, Any] = {}
    for name, field in _SETS.items():
        if name in changed:
            old, new = set(state.get(name) or []), set(inputs.get(name) or [])
            added, removed = sorted(new - old), sorted(old - new)
            arguments.update(
                {f"Add{field}": added} if added else {}, **({f"Remove{field}": removed} if removed else {})
            )
    if "privateDnsEnabled" in changed:
        arguments["PrivateDnsEnabled"] = bool(inputs.get("privateDnsEnabled"))
    if "ipAddressType" in changed:
        arguments["IpAddressType"] = inputs["ipAddressType"]
    if "dnsOptions" in changed:
        arguments.update(_dns_options(inputs))
    if "subnetConfigurations" in changed:
        arguments.update(_subnet_configurations(inputs))
    if "policy" in changed:
        policy = inputs.get("policy")
        arguments.update({"PolicyDocument": policy} if policy else {"ResetPolicy": True})
    if arguments:
        ec2 = call.client("ec2")
        attempt(
            f"updating EC2 VPC Endpoint ({identifier})",
            lambda: ec2.modify_vpc_endpoint(VpcEndpointId=identifier, **arguments),
        )
        _wait_available(call, identifier, "update")
    if "tagsAll" in changed:
        update_ec2_tags(call, identifier, "EC2 VPC Endpoint", state, inputs)


def _private_dns_of_another_type(state: Properties, inputs: Properties, changed: frozenset[str]) -> frozenset[str]:
    """Only an interface endpoint can change privateDnsEnabled in place (CustomizeDiff in the provider's file)."""
    del state, changed
    interface = inputs.get("vpcEndpointType") == "Interface"
    return frozenset() if interface else frozenset({"privateDnsEnabled"})


def _delete(call: Call, identifier: str, state: Properties) -> None:
    del state
    ec2 = call.client("ec2")
    what = f"deleting EC2 VPC Endpoint ({identifier})"

    def remove() -> None:
        answer = ec2.delete_vpc_endpoints(VpcEndpointIds=[identifier])
        for refused in answer.get("Unsuccessful") or []:  # a batch call: it answers 200 and tells the failure inside
            told = refused.get("Error") or {}
            if told.get("Code") not in _GONE:
                raise ProviderError(f"{what}: DeleteVpcEndpoints: {told.get('Code')}: {told.get('Message')}")

    unless_gone(what, _GONE, lambda: call.retry(what, remove, while_error=has_code("DependencyViolation")))
    call.wait_until(f"EC2 VPC Endpoint ({identifier}) delete", lambda: None if _find(call, identifier) else True)


RESOURCES = {
    "aws:ec2/vpcEndpoint:VpcEndpoint": Resource(
        type="aws:ec2/vpcEndpoint:VpcEndpoint",
        title="EC2 VPC Endpoint",
        inputs={
            **REGION,
            **TAGS,
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
                    "privateDnsSpecifiedDomains": set_of(
                        string(), computed=True, force_new=True, minimum=1, maximum=10
                    ),
                },
                computed=True,
            ),
            "ipAddressType": string(
                computed=True,
                allowed=("ipv4", "dualstack", "ipv6"),
                same=lambda old, new: str(old).lower() == str(new).lower(),
            ),
            "policy": string(computed=True, validate=json_document, same=same_policy),
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
            "arn": string(),
            "cidrBlocks": set_of(string()),
            "dnsEntries": set_of(object_of({"dnsName": string(), "hostedZoneId": string()})),
            "networkInterfaceIds": set_of(string()),
            "ownerId": string(),
            "prefixListId": string(),
            "requesterManaged": boolean(),
            "state": string(),
        },
        also_replaces=_private_dns_of_another_type,
        recomputed={
            "subnetIds": ("networkInterfaceIds", "subnetConfigurations"),
            "subnetConfigurations": ("networkInterfaceIds", "subnetIds"),
        },
        create=_create,
        settle=_settle,
        read=_read,
        update=_update,
        delete=_delete,
        timeouts=Timeouts(create=600, update=600, delete=600),
    )
}
