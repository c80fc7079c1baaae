"""`aws:ec2clientvpn/endpoint:Endpoint`.

Source: terraform-provider-aws ``internal/service/ec2/vpnclient_endpoint.go``.
"""

from lab.providers.aws.common import arn, cidr_block, length
from lab.providers.aws.description import Description, Operation, State, served
from lab.providers.aws.shapes import Answer, at
from lab.providers.schema import Timeouts, boolean, integer, list_of, object_of, set_of, string
from lab.providers.values import Properties

GONE = ("InvalidClientVpnEndpointId.NotFound",)
_KINDS = ("certificate-authentication", "directory-service-authentication", "federated-authentication")
_ADDRESS_TYPES = ("ipv4", "ipv6", "dual-stack")
# Input of an authentication → its block, its name in the request and, by botocore's ec2 model, in the description.
_AUTHENTICATIONS = {
    "activeDirectoryId": ("ActiveDirectory", "DirectoryId", "DirectoryId"),
    "rootCertificateChainArn": (
        *("MutualAuthentication", "ClientRootCertificateChainArn"),
        "ClientRootCertificateChain",
    ),
    "samlProviderArn": ("FederatedAuthentication", "SAMLProviderArn", "SamlProviderArn"),
    "selfServiceSamlProviderArn": (
        *("FederatedAuthentication", "SelfServiceSAMLProviderArn"),
        "SelfServiceSamlProviderArn",
    ),
}


def _arguments(op: Operation) -> Answer:
    return {
        "AuthenticationOptions": [_authentication(option) for option in op.inputs["authenticationOptions"]],
        "SplitTunnel": bool(op.inputs.get("splitTunnel")),
    }


def _authentication(option: Properties) -> Answer:
    blocks: dict[str, Answer] = {}
    for name, (block, argument, _) in _AUTHENTICATIONS.items():
        if option.get(name):
            blocks.setdefault(block, {})[argument] = option[name]
    return {"Type": option["type"], **blocks}


def _seen(_op: Operation, endpoint: Answer) -> Properties:
    portal = endpoint.get("SelfServicePortalUrl") or ""
    return {
        "selfServicePortal": "enabled" if portal else "disabled",
        "selfServicePortalUrl": portal,
        "transitGatewayConfiguration": None,
    }


def _changed_arguments(op: Operation) -> Answer:
    arguments: Answer = {}
    if "dnsServers" in op.changed:
        servers = op.inputs.get("dnsServers") or []
        arguments["DnsServers"] = {"Enabled": bool(servers), **({"CustomDnsServers": servers} if servers else {})}
    if "securityGroupIds" in op.changed:
        # InvalidParameterValue: Security Groups cannot be modified without specifying Vpc Id
        arguments["VpcId"] = op.inputs.get("vpcId") or op.state.get("vpcId")
    return arguments


def _wait_for_connect_options(op: Operation) -> None:
    def applied() -> bool | None:
        return True if at(op.thing, "ClientConnectOptions.Status.Code") in (None, "applied") else None

    if "clientConnectOptions" in op.changed:
        op.call.wait_until(f"EC2 Client VPN Endpoint ({op.id}) ClientConnectResponseOptions update", applied)


_ENDPOINT = Description(
    type="aws:ec2clientvpn/endpoint:Endpoint",
    title="EC2 Client VPN Endpoint",
    timeouts=Timeouts(create=300, update=300, delete=300),
    service="ec2",
    inputs={
        "authenticationOptions": set_of(
            object_of(
                {
                    "activeDirectoryId": string(),
                    "rootCertificateChainArn": string(validate=arn),
                    "samlProviderArn": string(validate=arn),
                    "selfServiceSamlProviderArn": string(validate=arn),
                    "type": string(required=True, allowed=_KINDS),
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
            {"bannerText": string(computed=True, validate=length(0, 1400)), "enabled": boolean(computed=True)},
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
        "endpointIpAddressType": string(computed=True, force_new=True, allowed=_ADDRESS_TYPES),
        "securityGroupIds": set_of(string(), computed=True, minimum=1, maximum=5),
        "selfServicePortal": string(default="disabled", allowed=("enabled", "disabled")),
        "serverCertificateArn": string(required=True, validate=arn),
        "sessionTimeoutHours": integer(default=24, allowed=(8, 10, 12, 24)),
        "splitTunnel": boolean(default=False),
        "trafficIpAddressType": string(computed=True, force_new=True, allowed=_ADDRESS_TYPES),
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
    # disconnectOnSessionTimeout too: version 6 of the provider never sends `false`, and AWS's default is true.
    create=("create_client_vpn_endpoint", "ClientVpnEndpointId"),
    fields={name: f"{block}.{seen}" for name, (block, _, seen) in _AUTHENTICATIONS.items()},
    modify=("modify_client_vpn_endpoint", "ClientVpnEndpointId"),
    emptied=("description",),
    state=State("Status.Code", gone=("deleted",)),
    arn="client-vpn-endpoint/{id}",
    tags="client-vpn-endpoint",
    arguments=_arguments,
    changed_arguments=_changed_arguments,
    seen=_seen,
    more=_wait_for_connect_options,
    delete=("delete_client_vpn_endpoint", "ClientVpnEndpointId"),
)

RESOURCES = served(_ENDPOINT)
