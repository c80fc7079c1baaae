"""`aws:ec2clientvpn/endpoint:Endpoint`.

Source: terraform-provider-aws ``internal/service/ec2/vpnclient_endpoint.go``.
"""

from typing import Any

from lab.providers.aws.common import (
    REGION,
    TAGS,
    arn,
    attempt,
    cidr_block,
    picked,
    tag_specifications,
    unless_gone,
    update_ec2_tags,
)
from lab.providers.aws.tags import from_list
from lab.providers.schema import Resource, Timeouts, boolean, integer, list_of, object_of, set_of, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

GONE = ("InvalidClientVpnEndpointId.NotFound",)
_OPTIONS = {
    "clientConnectOptions": ("ClientConnectOptions", {"Enabled": "enabled", "LambdaFunctionArn": "lambdaFunctionArn"}),
    "clientLoginBannerOptions": ("ClientLoginBannerOptions", {"Enabled": "enabled", "BannerText": "bannerText"}),
    "clientRouteEnforcementOptions": ("ClientRouteEnforcementOptions", {"Enforced": "enforced"}),
    "connectionLogOptions": (
        "ConnectionLogOptions",
        {
            "Enabled": "enabled",
            "CloudwatchLogGroup": "cloudwatchLogGroup",
            "CloudwatchLogStream": "cloudwatchLogStream",
        },
    ),
}
_AUTHENTICATIONS = {
    "certificate-authentication": ("MutualAuthentication", {"rootCertificateChainArn": "ClientRootCertificateChain"}),
    "directory-service-authentication": ("ActiveDirectory", {"activeDirectoryId": "DirectoryId"}),
    "federated-authentication": (
        "FederatedAuthentication",
        {"samlProviderArn": "SAMLProviderArn", "selfServiceSamlProviderArn": "SelfServiceSAMLProviderArn"},
    ),
}


def find_endpoint(call: Call, identifier: str) -> dict[str, Any] | None:
    """An endpoint as DescribeClientVpnEndpoints gives it, or None when it is gone."""
    ec2 = call.client("ec2")
    found = unless_gone(
        f"reading EC2 Client VPN Endpoint ({identifier})",
        GONE,
        lambda: ec2.describe_client_vpn_endpoints(ClientVpnEndpointIds=[identifier])["ClientVpnEndpoints"],
    )
    if not found or (found[0].get("Status") or {}).get("Code") == "deleted":
        return None
    return dict(found[0])


def _create(call: Call, inputs: Properties) -> str:
    ec2 = call.client("ec2")
    arguments = picked(
        inputs,
        {
            "ClientCidrBlock": "clientCidrBlock",
            "Description": "description",
            "DnsServers": "dnsServers",
            "EndpointIpAddressType": "endpointIpAddressType",
            "SecurityGroupIds": "securityGroupIds",
            "SelfServicePortal": "selfServicePortal",
            "SessionTimeoutHours": "sessionTimeoutHours",
            "TrafficIpAddressType": "trafficIpAddressType",
            "TransportProtocol": "transportProtocol",
            "VpcId": "vpcId",
            "VpnPort": "vpnPort",
        },
    )
    if inputs.get("disconnectOnSessionTimeout") is not None:
        arguments["DisconnectOnSessionTimeout"] = inputs["disconnectOnSessionTimeout"]
    for name in _OPTIONS:
        arguments.update(_option(inputs, name))
    gateway = inputs.get("transitGatewayConfiguration")
    if gateway:
        names = {
            "TransitGatewayId": "transitGatewayId",
            "AvailabilityZones": "availabilityZones",
            "AvailabilityZoneIds": "availabilityZoneIds",
        }
        arguments["TransitGatewayConfiguration"] = picked(gateway, names)
    answer = attempt(
        "creating EC2 Client VPN Endpoint",
        lambda: ec2.create_client_vpn_endpoint(
            ServerCertificateArn=inputs["serverCertificateArn"],
            SplitTunnel=bool(inputs.get("splitTunnel")),
            AuthenticationOptions=[_authentication(option) for option in inputs["authenticationOptions"]],
            **arguments,
            **tag_specifications("client-vpn-endpoint", inputs),
        ),
    )
    return str(answer["ClientVpnEndpointId"])


def _option(inputs: Properties, name: str) -> dict[str, Any]:
    """One block of options as an argument; a switch that is off is said, an empty text is not."""
    given = inputs.get(name)
    if given is None:
        return {}
    argument, names = _OPTIONS[name]
    return {argument: {field: given[key] for field, key in names.items() if given.get(key) not in (None, "")}}


def _authentication(option: Properties) -> dict[str, Any]:
    field, names = _AUTHENTICATIONS[option["type"]]
    arguments = {argument: option[name] for name, argument in names.items() if option.get(name)}
    if field == "MutualAuthentication":
        arguments = {f"{name}Arn": value for name, value in arguments.items()}
    return {"Type": option["type"], field: arguments}


def _read(call: Call, identifier: str, state: Properties) -> Properties | None:
    del state
    endpoint = find_endpoint(call, identifier)
    if endpoint is None:
        return None
    portal = endpoint.get("SelfServicePortalUrl") or ""
    seen: Properties = {
        "arn": call.session.arn("ec2", f"client-vpn-endpoint/{identifier}", call.region),
        "authenticationOptions": [_seen_authentication(entry) for entry in endpoint.get("AuthenticationOptions") or []],
        "clientCidrBlock": endpoint.get("ClientCidrBlock"),
        "description": endpoint.get("Description") or None,
        "disconnectOnSessionTimeout": endpoint.get("DisconnectOnSessionTimeout"),
        "dnsName": endpoint.get("DnsName"),
        "dnsServers": endpoint.get("DnsServers") or [],
        "endpointIpAddressType": endpoint.get("EndpointIpAddressType"),
        "securityGroupIds": sorted(endpoint.get("SecurityGroupIds") or []),
        "selfServicePortal": "enabled" if portal else "disabled",
        "selfServicePortalUrl": portal,
        "serverCertificateArn": endpoint.get("ServerCertificateArn"),
        "sessionTimeoutHours": endpoint.get("SessionTimeoutHours"),
        "splitTunnel": endpoint.get("SplitTunnel", False),
        "tagsAll": from_list(endpoint.get("Tags")),
        "trafficIpAddressType": endpoint.get("TrafficIpAddressType"),
        "transitGatewayConfiguration": None,
        "transportProtocol": endpoint.get("TransportProtocol"),
        "vpcId": endpoint.get("VpcId"),
        "vpnPort": endpoint.get("VpnPort"),
    }
    for name, (field, names) in _OPTIONS.items():
        block = endpoint.get(field)
        if block is not None:
            seen[name] = {key: block[argument] for argument, key in names.items() if block.get(argument) is not None}
    return seen


def _seen_authentication(entry: dict[str, Any]) -> Properties:
    field, names = _AUTHENTICATIONS[entry["Type"]]
    # The request says SAMLProviderArn, the description SamlProviderArn (botocore's ec2 model).
    block = {name.lower(): value for name, value in (entry.get(field) or {}).items()}
    seen = {name: block[argument.lower()] for name, argument in names.items() if block.get(argument.lower())}
    return {"type": entry["Type"], **seen}


def _update(call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]) -> None:
    arguments: dict[str, Any] = {}
    plain = {
        "disconnectOnSessionTimeout": "DisconnectOnSessionTimeout",
        "selfServicePortal": "SelfServicePortal",
        "serverCertificateArn": "ServerCertificateArn",
        "sessionTimeoutHours": "SessionTimeoutHours",
        "splitTunnel": "SplitTunnel",
        "vpcId": "VpcId",
        "vpnPort": "VpnPort",
    }
    for name, argument in plain.items():
        if name in changed and inputs.get(name) is not None:
            arguments[argument] = inputs[name]
    if "description" in changed:
        arguments["Description"] = inputs.get("description") or ""
    if "dnsServers" in changed:
        servers = inputs.get("dnsServers") or []
        arguments["DnsServers"] = {"Enabled": bool(servers), **({"CustomDnsServers": servers} if servers else {})}
    if "securityGroupIds" in changed:
        # InvalidParameterValue: Security Groups cannot be modified without specifying Vpc Id
        arguments.update(SecurityGroupIds=inputs["securityGroupIds"], VpcId=inputs.get("vpcId") or state.get("vpcId"))
    for name in _OPTIONS:
        if name in changed:
            arguments.update(_option(inputs, name))
    if arguments:
        ec2 = call.client("ec2")
        attempt(
            f"modifying EC2 Client VPN Endpoint ({identifier})",
            lambda: ec2.modify_client_vpn_endpoint(ClientVpnEndpointId=identifier, **arguments),
        )
    if "clientConnectOptions" in changed:
        _wait_for_connect_options(call, identifier)
    if "tagsAll" in changed:
        update_ec2_tags(call, identifier, "EC2 Client VPN Endpoint", state, inputs)


def _wait_for_connect_options(call: Call, identifier: str) -> None:
    def applied() -> bool | None:
        options = (find_endpoint(call, identifier) or {}).get("ClientConnectOptions") or {}
        return True if (options.get("Status") or {}).get("Code", "applied") == "applied" else None

    call.wait_until(f"EC2 Client VPN Endpoint ({identifier}) ClientConnectResponseOptions update", applied)


def _delete(call: Call, identifier: str, state: Properties) -> None:
    del state
    ec2 = call.client("ec2")
    unless_gone(
        f"deleting EC2 Client VPN Endpoint ({identifier})",
        GONE,
        lambda: ec2.delete_client_vpn_endpoint(ClientVpnEndpointId=identifier),
    )
    call.wait_until(
        f"EC2 Client VPN Endpoint ({identifier}) delete", lambda: None if find_endpoint(call, identifier) else True
    )


def _banner(value: str) -> str | None:
    return (
        None if len(value) <= 1400 else f"expected length of bannerText to be in the range (0 - 1400), got {len(value)}"
    )


RESOURCES = {
    "aws:ec2clientvpn/endpoint:Endpoint": Resource(
        type="aws:ec2clientvpn/endpoint:Endpoint",
        title="EC2 Client VPN Endpoint",
        inputs={
            **REGION,
            **TAGS,
            "authenticationOptions": set_of(
                object_of(
                    {
                        "activeDirectoryId": string(),
                        "rootCertificateChainArn": string(validate=arn),
                        "samlProviderArn": string(validate=arn),
                        "selfServiceSamlProviderArn": string(validate=arn),
                        "type": string(required=True, allowed=tuple(_AUTHENTICATIONS)),
                    }
                ),
                required=True,
                force_new=True,
                minimum=1,
                maximum=2,
            ),
            "clientCidrBlock": string(force_new=True, validate=cidr_block()),
            "clientConnectOptions": object_of(
                {"enabled": boolean(computed=True), "lambdaFunctionArn": string(computed=True, validate=arn)},
                computed=True,
            ),
            "clientLoginBannerOptions": object_of(
                {"bannerText": string(computed=True, validate=_banner), "enabled": boolean(computed=True)},
                computed=True,
            ),
            "clientRouteEnforcementOptions": object_of({"enforced": boolean(computed=True)}, computed=True),
            "connectionLogOptions": object_of(
                {
                    "cloudwatchLogGroup": string(),
                    "cloudwatchLogStream": string(computed=True),
                    "enabled": boolean(required=True),
                },
                required=True,
            ),
            "description": string(),
            "disconnectOnSessionTimeout": boolean(computed=True),
            "dnsServers": list_of(string()),
            "endpointIpAddressType": string(computed=True, force_new=True, allowed=("ipv4", "ipv6", "dual-stack")),
            "securityGroupIds": set_of(string(), computed=True, minimum=1, maximum=5),
            "selfServicePortal": string(default="disabled", allowed=("enabled", "disabled")),
            "serverCertificateArn": string(required=True, validate=arn),
            "sessionTimeoutHours": integer(default=24, allowed=(8, 10, 12, 24)),
            "splitTunnel": boolean(default=False),
            "trafficIpAddressType": string(computed=True, force_new=True, allowed=("ipv4", "ipv6", "dual-stack")),
            "transitGatewayConfiguration": object_of(
                {
                    "availabilityZoneIds": set_of(string(), computed=True),
                    "availabilityZones": set_of(string(), computed=True),
                    "transitGatewayAttachmentId": string(computed=True),
                    "transitGatewayId": string(computed=True, force_new=True),
                },
                computed=True,
                conflicts=("vpcId", "securityGroupIds"),
            ),
            "transportProtocol": string(default="udp", force_new=True, allowed=("tcp", "udp")),
            "vpcId": string(computed=True),
            "vpnPort": integer(default=443, allowed=(443, 1194)),
        },
        outputs={"arn": string(), "dnsName": string(), "selfServicePortalUrl": string()},
        create=_create,
        read=_read,
        update=_update,
        delete=_delete,
        timeouts=Timeouts(create=300, update=300, delete=300),
    )
}
