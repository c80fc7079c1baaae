"""`aws:ec2clientvpn/endpoint:Endpoint`.

Source: terraform-provider-aws ``internal/service/ec2/vpnclient_endpoint.go``.
"""

from lab.providers.aws.common import arn, cidr_block
from lab.providers.aws.description import Answer, Description, State, settled
from lab.providers.schema import Timeouts, boolean, integer, list_of, object_of, set_of, string
from lab.providers.values import Properties
from lab.providers.waiting import Call

GONE = ("InvalidClientVpnEndpointId.NotFound",)
_OPTIONS = (
    "clientConnectOptions",
    "clientLoginBannerOptions",
    "clientRouteEnforcementOptions",
    "connectionLogOptions",
)
_AUTHENTICATIONS = {
    "certificate-authentication": ("MutualAuthentication", {"rootCertificateChainArn": "ClientRootCertificateChain"}),
    "directory-service-authentication": ("ActiveDirectory", {"activeDirectoryId": "DirectoryId"}),
    "federated-authentication": (
        "FederatedAuthentication",
        {"samlProviderArn": "SAMLProviderArn", "selfServiceSamlProviderArn": "SelfServiceSAMLProviderArn"},
    ),
}


def _arguments(call: Call, inputs: Properties) -> Answer:
    del call
    arguments: Answer = {
        "AuthenticationOptions": [_authentication(option) for option in inputs["authenticationOptions"]],
        "SplitTunnel": bool(inputs.get("splitTunnel")),
    }
    gateway = inputs.get("transitGatewayConfiguration")
    if gateway:
        names = ("transitGatewayId", "availabilityZones", "availabilityZoneIds")
        arguments["TransitGatewayConfiguration"] = {
            name[0].upper() + name[1:]: gateway[name] for name in names if gateway.get(name)
        }
    return arguments


def _authentication(option: Properties) -> Answer:
    field, names = _AUTHENTICATIONS[option["type"]]
    arguments = {argument: option[name] for name, argument in names.items() if option.get(name)}
    if field == "MutualAuthentication":
        arguments = {f"{name}Arn": value for name, value in arguments.items()}
    return {"Type": option["type"], field: arguments}


def _seen(call: Call, endpoint: Answer, state: Properties) -> Properties:
    del call, state
    portal = endpoint.get("SelfServicePortalUrl") or ""
    return {
        "authenticationOptions": [_seen_authentication(entry) for entry in endpoint.get("AuthenticationOptions") or []],
        "selfServicePortal": "enabled" if portal else "disabled",
        "selfServicePortalUrl": portal,
        "transitGatewayConfiguration": None,
    }


def _seen_authentication(entry: Answer) -> Properties:
    field, names = _AUTHENTICATIONS[entry["Type"]]
    # The request says SAMLProviderArn, the description SamlProviderArn (botocore's ec2 model).
    block = {name.lower(): value for name, value in (entry.get(field) or {}).items()}
    seen = {name: block[argument.lower()] for name, argument in names.items() if block.get(argument.lower())}
    return {"type": entry["Type"], **seen}


def _changed_arguments(state: Properties, inputs: Properties, changed: frozenset[str]) -> Answer:
    arguments: Answer = {}
    if "description" in changed:
        arguments["Description"] = inputs.get("description") or ""
    if "dnsServers" in changed:
        servers = inputs.get("dnsServers") or []
        arguments["DnsServers"] = {"Enabled": bool(servers), **({"CustomDnsServers": servers} if servers else {})}
    if "securityGroupIds" in changed:
        # InvalidParameterValue: Security Groups cannot be modified without specifying Vpc Id
        arguments["VpcId"] = inputs.get("vpcId") or state.get("vpcId")
    return arguments


def _wait_for_connect_options(
    call: Call, identifier: str, state: Properties, inputs: Properties, changed: frozenset[str]
) -> None:
    del state, inputs
    if "clientConnectOptions" not in changed:
        return

    def applied() -> bool | None:
        options = (ENDPOINT.found(call, identifier, {}) or {}).get("ClientConnectOptions") or {}
        return True if (options.get("Status") or {}).get("Code", "applied") == "applied" else None

    call.wait_until(f"EC2 Client VPN Endpoint ({identifier}) ClientConnectResponseOptions update", applied)


def _banner(value: str) -> str | None:
    return (
        None if len(value) <= 1400 else f"expected length of bannerText to be in the range (0 - 1400), got {len(value)}"
    )


ENDPOINT = Description(
    type="aws:ec2clientvpn/endpoint:Endpoint",
    title="EC2 Client VPN Endpoint",
    service="ec2",
    inputs={
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
    outputs={"dnsName": string(), "selfServicePortalUrl": string()},
    find=("describe_client_vpn_endpoints", "ClientVpnEndpointIds[]", "ClientVpnEndpoints[]"),
    gone=GONE,
    create=("create_client_vpn_endpoint", "ClientVpnEndpointId"),
    # disconnectOnSessionTimeout among them: version 6 of the provider never sends `false`, and AWS's default is true.
    sent=(
        "clientCidrBlock",
        "description",
        "disconnectOnSessionTimeout",
        "dnsServers",
        "endpointIpAddressType",
        "securityGroupIds",
        "selfServicePortal",
        "serverCertificateArn",
        "sessionTimeoutHours",
        "trafficIpAddressType",
        "transportProtocol",
        "vpcId",
        "vpnPort",
        *_OPTIONS,
    ),
    modify=("modify_client_vpn_endpoint", "ClientVpnEndpointId"),
    modified=(
        "disconnectOnSessionTimeout",
        "securityGroupIds",
        "selfServicePortal",
        "serverCertificateArn",
        "sessionTimeoutHours",
        "splitTunnel",
        "vpcId",
        "vpnPort",
        *_OPTIONS,
    ),
    state=State("Status.Code", gone=("deleted",)),
    arn="client-vpn-endpoint/{id}",
    tags="ec2:client-vpn-endpoint",
    arguments=_arguments,
    changed_arguments=_changed_arguments,
    seen=_seen,
    more=_wait_for_connect_options,
    delete=("delete_client_vpn_endpoint", "ClientVpnEndpointId"),
)

RESOURCES = settled([ENDPOINT.resource(timeouts=Timeouts(create=300, update=300, delete=300))])
