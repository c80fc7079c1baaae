"""The tunnel from devices into the VPC: AWS Client VPN with mutual authentication by certificates."""

from collections.abc import Mapping
from ipaddress import IPv4Network
from typing import Any, NotRequired, TypedDict, cast

import pulumi
import pulumi_aws as aws

from private_iot import cidr, names, ovpn_profile
from private_iot.alarms import make_alarms
from private_iot.arguments import (
    LOG_RETENTION_DAYS,
    InstalledDevices,
    Setting,
    boolean,
    checked_arguments,
    one_of,
    require_arguments,
    string_map,
    whole_number,
)
from private_iot.certificate_source import CERTIFICATE_SETTINGS, as_given, check_source, make_certificates
from private_iot.client_vpn_networks import ReachedNetworks
from private_iot.deployed import CLIENT_VPN, deployed_resources, warn_of_new_bundles
from private_iot.device_path import DevicePath, PrivateLinkPath
from private_iot.device_stacks import device_stacks, for_device_stacks
from private_iot.errors import ArgumentError
from private_iot.profiles import write_profiles
from private_iot.revocation_resources import revoke

TYPE = CLIENT_VPN
_API = "AWS Client VPN"
BANNER_LIMIT = 1400
"""Characters of the login banner (EC2 API reference, ClientLoginBannerOptions)."""


class ClientVpnAccessArgs(TypedDict):
    """Arguments of `ClientVpnAccess`."""

    vpc_id: pulumi.Input[str]
    """The VPC that the tunnel ends in."""
    vpc_cidr_block: pulumi.Input[str]
    """The VPC's network, which every client is authorized for."""
    subnet_ids: dict[str, pulumi.Input[str]]
    """Zone → the subnet to associate, a /27 or larger with 20 free addresses."""
    security_group_ids: pulumi.Input[list[pulumi.Input[str]]]
    """Groups of the associations: what clients may reach."""
    path: PrivateLinkPath
    """The private link's part of the devices' way, its output `path`."""
    clients: list[str]
    """Names of the devices whose keys the stack makes; each gets a certificate with that common name, and a profile."""
    client_requests: NotRequired[dict[str, str]]
    """Device → its request for a VPN certificate, PEM; its key is on the device then. Default: none."""
    client_certificates: NotRequired[dict[str, pulumi.Input[str]]]
    """Device → its VPN certificate, PEM, of an authority of your own. Default: none."""
    private_domains: NotRequired[pulumi.Input[list[pulumi.Input[str]]]]
    """Names that devices ask the VPC's resolver for; none is every name. Default: the private link's names."""
    authorized_cidr_blocks: NotRequired[list[str]]
    """Networks outside the VPC that clients may reach through it, each with a route a zone; the security groups have
    to let them through too. Default: none."""
    client_cidr_block: NotRequired[str]
    """Addresses of the clients, a /12 to a /22 outside the VPC; a change replaces the endpoint.
    Default: 172.31.0.0/16."""
    dns_servers: NotRequired[list[str]]
    """One or two resolvers inside the VPC that clients are given. Default: the VPC's own, its base plus two."""
    transport_protocol: NotRequired[str]
    """`udp` or `tcp`; a change replaces the endpoint. Default: udp."""
    vpn_port: NotRequired[int]
    """443 or 1194. Default: 443."""
    split_tunnel: NotRequired[bool]
    """Whether only the VPC's traffic goes through the tunnel. Default: true."""
    mssfix: NotRequired[int]
    """Most bytes of a datagram that carries TCP through the tunnel, 576 to 1472: lines may drop larger ones without a
    word, and one of 1,280 bytes takes 1232. Default: 1232."""
    session_timeout_hours: NotRequired[int]
    """Length of a VPN session, 8, 10, 12 or 24 hours. Default: 24."""
    disconnect_on_session_timeout: NotRequired[bool]
    """Whether AWS ends a client's session after that time; OpenVPN is back within seconds. The provider leaves `false`
    out of a creation, and AWS's own default is true: the second `pulumi up` sends it, and one after each replacement.
    Default: true."""
    connection_log: NotRequired[bool]
    """Whether connections are logged to CloudWatch Logs. Default: true."""
    log_retention_days: NotRequired[int]
    """Days that logs are kept, one of CloudWatch Logs' values. Default: 90."""
    login_banner: NotRequired[str]
    """Text that AWS's own client shows at connection, 1400 characters at most. Default: none."""
    server_name: NotRequired[str]
    """Dotted DNS name in the server's certificate. Default: server.private-iot.internal."""
    ca_validity_days: NotRequired[int]
    """Days that a new certificate authority is valid; one that is there keeps its own. Default: 3650."""
    certificate_validity_days: NotRequired[int]
    """Days that the server's and the clients' certificates are valid. They renew themselves 60 and 90 days ahead, or
    with a third of their life left. Default: 825."""
    certificate_authority: NotRequired[str]
    """Who signs: `own`, `acm-pca` to make an authority of AWS Private CA, or the ARN of one. Default: own."""
    server_certificate_arn: NotRequired[pulumi.Input[str]]
    """A server certificate of your own in ACM, with the common name `server_name`. Default: none, and one is made."""
    client_root_certificate_arn: NotRequired[pulumi.Input[str]]
    """The certificate in ACM whose chain signed your clients' certificates. Default: your server's."""
    certificate_authority_pem: NotRequired[pulumi.Input[str]]
    """The authority of your server certificate, PEM, for the profiles. Default: none."""
    revoked: NotRequired[list[str]]
    """Devices that are locked out though they are there, and serial numbers of further certificates, hexadecimal.
    Default: none."""
    revoke_removed_devices: NotRequired[bool]
    """Whether the certificate of a device that is removed is revoked. Default: true."""
    import_revocation_list: NotRequired[bool]
    """Whether the list is imported into the endpoint; false leaves that to a pipeline of yours. Default: true."""
    revocation_list_region: NotRequired[str]
    """Region that the list is imported in. Default: the provider's."""
    revocation_list_profile: NotRequired[str]
    """AWS profile that the list is imported with. Default: boto3's own choice."""
    device_stacks: NotRequired[dict[str, dict[str, Any]]]
    """Stack whose devices use this endpoint → its output `issued`, {} before there is one: `ClientVpnClients` makes
    their certificates. Default: none."""
    alarm_topic_arn: NotRequired[pulumi.Input[str]]
    """SNS topic that hears when the server's certificate or the revocation list has 30 days left, and when somebody is
    refused. Default: no alarms."""
    tags: NotRequired[dict[str, pulumi.Input[str]]]
    """Tags of every resource that takes them, beside Name. Default: none."""


def _banner(argument: str, value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= BANNER_LIMIT:
        raise ArgumentError(argument, value, f"{_API} takes a text of 1 to {BANNER_LIMIT} characters", "shorten it")
    return value


def _mssfix(argument: str, value: object) -> int:
    number = whole_number(argument, value)
    if not ovpn_profile.LEAST_MSSFIX <= number <= ovpn_profile.MOST_MSSFIX:
        limits = f"{ovpn_profile.LEAST_MSSFIX} to {ovpn_profile.MOST_MSSFIX}"
        raise ArgumentError(
            argument, number, f"a datagram between an IPv4 packet's least and Ethernet's most is {limits}", "choose one"
        )
    return number


SETTINGS: dict[str, Setting] = {
    "authorized_cidr_blocks": Setting(read=cidr.networks, default=[], default_text="none"),
    "client_cidr_block": Setting(
        read=cidr.text_of(cidr.client_network),
        default="172.31.0.0/16",
        installed_devices=InstalledDevices.NEED_BUNDLE,
    ),
    "dns_servers": Setting(
        read=cidr.dns_servers,
        default_text="the VPC's own, its base plus two",
        installed_devices=InstalledDevices.WORK_AS_BEFORE,
    ),
    "transport_protocol": Setting(
        read=one_of("udp", "tcp", source=_API), default="udp", installed_devices=InstalledDevices.NEED_BUNDLE
    ),
    "vpn_port": Setting(
        read=one_of(443, 1194, source=_API), default=443, installed_devices=InstalledDevices.NEED_BUNDLE
    ),
    "split_tunnel": Setting(read=boolean, default=True, installed_devices=InstalledDevices.NEED_BUNDLE),
    "mssfix": Setting(read=_mssfix, default=ovpn_profile.MSSFIX, installed_devices=InstalledDevices.WORK_AS_BEFORE),
    "session_timeout_hours": Setting(read=one_of(8, 10, 12, 24, source=_API), default=24),
    "disconnect_on_session_timeout": Setting(read=boolean, default=True),
    "connection_log": Setting(read=boolean, default=True),
    "log_retention_days": LOG_RETENTION_DAYS,
    "login_banner": Setting(read=_banner, default_text="none"),
    "server_name": Setting(
        read=names.server_name,
        default="server.private-iot.internal",
        installed_devices=InstalledDevices.NEED_BUNDLE,
    ),
    **CERTIFICATE_SETTINGS,
    "device_stacks": Setting(read=device_stacks, default={}, default_text="none"),
    "alarm_topic_arn": Setting(read=as_given, default_text="no alarms"),
    "tags": Setting(read=string_map, default={}, default_text="none"),
}


class ClientVpnAccess(pulumi.ComponentResource):
    """An AWS Client VPN endpoint, its certificates, and one profile a device."""

    client_vpn_endpoint_id: pulumi.Output[str]
    """The endpoint."""
    dns_servers: pulumi.Output[list[str]]
    """The resolvers that clients are given."""
    server_certificate_arn: pulumi.Output[str]
    """The server's certificate in AWS Certificate Manager; it stays the same when the certificate is renewed."""
    client_configs: pulumi.Output[dict[str, str]]
    """Each device's OpenVPN profile with its certificate inline, and with its key where the stack made it. Secret."""
    client_certificates: pulumi.Output[dict[str, str]]
    """Each device's VPN certificate, PEM, which is public."""
    certificate_expiry: pulumi.Output[dict[str, Any]]
    """When `authority`, `server` and each of `clients` expire, RFC 3339, as far as it is known here."""
    revoked_serial_numbers: pulumi.Output[list[str]]
    """What the revocation list revokes, hexadecimal."""
    revocation_list: pulumi.Output[str]
    """The revocation list, PEM; empty until a certificate was revoked for the first time."""

    def __init__(self, name: str, args: ClientVpnAccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Register the certificates and the endpoint.

        Args:
            name: The first part of every child's name and Name tag: `private-iot` makes `private-iot-clientvpn`.
            args: What it should be like.
            opts: Options of the component; its children use its aws and tls providers.

        Raises:
            ArgumentError: An argument is refused; nothing was registered.
        """
        arguments = self.check(args)
        require_arguments("ClientVpnAccess", args, ClientVpnAccessArgs)
        super().__init__(TYPE, name, {}, opts)
        self._prefix = name
        self._arguments = arguments
        self._children = pulumi.ResourceOptions(parent=self)

        vpc = pulumi.Output.from_input(arguments["vpc_cidr_block"]).apply(lambda block: _vpc(arguments, block))
        self.dns_servers = vpc.apply(lambda network: _dns_servers(arguments, network))
        self.certificates = make_certificates(name, arguments, self)
        self.server_certificate = self.certificates.server
        self.server_certificate_arn = self.certificates.server_arn
        self.log_group = self._log_group() if arguments["connection_log"] else None
        self.endpoint = self._endpoint()
        before = next((one for one in deployed_resources(TYPE) if one.name == name), None)
        self.client_vpn_endpoint_id = self.endpoint.id
        reached = ReachedNetworks(name, self.endpoint.id, arguments["subnet_ids"], self)
        reached.authorize(vpc.apply(str), arguments["authorized_cidr_blocks"])
        reached.route(arguments["authorized_cidr_blocks"])
        self.associations = reached.associations
        clients = self.certificates.clients
        link = arguments["path"]
        link_names = [link[key] for key in ("iot_endpoint", "credential_provider_endpoint") if key in link]
        domains = arguments.get("private_domains", link_names)
        secret, public = write_profiles(self._profile_remote(), domains, clients)
        self.client_configs = pulumi.Output.all(public, secret).apply(lambda both: {**both[0], **both[1]})
        self.path = self._path()
        self.paths: dict[str, DevicePath] = {
            client: self._path((secret if one.private_key_pem is not None else public)[client])
            for client, one in clients.items()
        }
        self.client_certificates = pulumi.Output.all(
            **{client: one.certificate_pem for client, one in clients.items()}
        ).apply(dict)
        self.certificate_expiry = pulumi.Output.from_input(
            {
                **self.certificates.expires,
                "clients": {client: one.expires for client, one in clients.items() if one.expires is not None},
            }
        )
        self.revoked_serial_numbers, self.revocation_list = revoke(
            name, arguments, self.certificates, self.client_vpn_endpoint_id, self
        )
        self.for_device_stacks = for_device_stacks(
            self.path, self._profile_remote(), domains, self.certificates, arguments
        )
        self.alarms = make_alarms(
            name,
            topic_arn=arguments.get("alarm_topic_arn"),
            server_certificate_arn=self.server_certificate_arn,
            endpoint_id=self.client_vpn_endpoint_id,
            tags=arguments["tags"],
            parent=self,
        )
        # Without the profiles: the state would keep each secret once more, and it is written again after every step.
        self.register_outputs(
            {
                "clientVpnEndpointId": self.client_vpn_endpoint_id,
                "dnsServers": self.dns_servers,
                "serverCertificateArn": self.server_certificate_arn,
                "knownToDevices": warn_of_new_bundles(self, before, SETTINGS, arguments),
            }
        )

    @staticmethod
    def check(args: Mapping[str, Any]) -> ClientVpnAccessArgs:
        """Refuse bad arguments without registering anything.

        Args:
            args: Arguments of this component; those that are still to come may be missing.

        Returns:
            The arguments with their defaults.

        Raises:
            ArgumentError: One is refused.
        """
        arguments = checked_arguments("ClientVpnAccess", args, ClientVpnAccessArgs, SETTINGS)
        check_source(cast("dict[str, Any]", arguments))
        if "subnet_ids" in arguments:
            _check_subnet_ids(arguments["subnet_ids"])
        vpc = arguments.get("vpc_cidr_block")
        if isinstance(vpc, str):
            _dns_servers(arguments, _vpc(arguments, vpc))
        return arguments

    def _path(self, vpn_config: pulumi.Output[str] | None = None) -> DevicePath:
        path: dict[str, Any] = {
            **self._arguments["path"],
            "vpc_cidr_block": self._arguments["vpc_cidr_block"],
            "dns_server": self.dns_servers[0],
        }
        return cast("DevicePath", path if vpn_config is None else {**path, "vpn_config": vpn_config})

    def _tags(self, suffix: str) -> dict[str, pulumi.Input[str]]:
        return {**self._arguments["tags"], "Name": f"{self._prefix}-{suffix}"}

    def _log_group(self) -> "aws.cloudwatch.LogGroup":
        return aws.cloudwatch.LogGroup(
            f"{self._prefix}-clientvpn-log",
            retention_in_days=self._arguments["log_retention_days"],
            tags=self._tags("clientvpn-log"),
            opts=self._children,
        )

    def _endpoint(self) -> "aws.ec2clientvpn.Endpoint":
        arguments = self._arguments
        log = self.log_group
        banner = arguments.get("login_banner")
        return aws.ec2clientvpn.Endpoint(
            f"{self._prefix}-clientvpn",
            description=f"{self._prefix}-clientvpn",
            vpc_id=arguments["vpc_id"],
            security_group_ids=arguments["security_group_ids"],
            client_cidr_block=arguments["client_cidr_block"],
            server_certificate_arn=self.server_certificate_arn,
            authentication_options=[
                aws.ec2clientvpn.EndpointAuthenticationOptionArgs(
                    type="certificate-authentication",
                    root_certificate_chain_arn=self.certificates.client_root_arn,
                )
            ],
            dns_servers=self.dns_servers,
            transport_protocol=arguments["transport_protocol"],
            vpn_port=arguments["vpn_port"],
            split_tunnel=arguments["split_tunnel"],
            session_timeout_hours=arguments["session_timeout_hours"],
            disconnect_on_session_timeout=arguments["disconnect_on_session_timeout"],
            connection_log_options=aws.ec2clientvpn.EndpointConnectionLogOptionsArgs(
                enabled=log is not None, cloudwatch_log_group=log.name if log else None
            ),
            # Said even when there is none: the provider keeps a banner that the program merely stops to mention.
            client_login_banner_options=aws.ec2clientvpn.EndpointClientLoginBannerOptionsArgs(
                enabled=banner is not None, banner_text=banner
            ),
            tags=self._tags("clientvpn"),
            opts=self._children,
        )

    def _profile_remote(self) -> dict[str, Any]:
        """Give the fields of `ovpn_profile.Remote`."""
        arguments = self._arguments
        return {
            "dns_name": self.endpoint.dns_name,
            "port": arguments["vpn_port"],
            "protocol": arguments["transport_protocol"],
            "ca_certificate_pem": self.certificates.authority_pem,
            "server_name": arguments["server_name"],
            "split_tunnel": arguments["split_tunnel"],
            "mssfix": arguments["mssfix"],
        }


def _vpc(arguments: ClientVpnAccessArgs, block: str) -> IPv4Network:
    """The VPC's network, which may be known only later, once it is known not to overlap the clients'."""
    network = cidr.vpc_network("vpc_cidr_block", block)
    cidr.check_disjoint("client_cidr_block", IPv4Network(arguments["client_cidr_block"]), network)
    for further in arguments["authorized_cidr_blocks"]:
        cidr.check_outside("authorized_cidr_blocks", further, network)
    return network


def _dns_servers(arguments: ClientVpnAccessArgs, vpc: IPv4Network) -> list[str]:
    servers = arguments.get("dns_servers", [cidr.dns_server(vpc)])
    cidr.check_dns_servers("dns_servers", servers, vpc)
    return servers


def _check_subnet_ids(subnet_ids: object) -> None:
    if not isinstance(subnet_ids, Mapping):
        raise ArgumentError(
            "subnet_ids",
            type(subnet_ids).__name__,
            "it must be a map from zone to subnet, since it decides which associations there are",
            "write network.subnet_ids",
        )
    if not subnet_ids:
        raise ArgumentError(
            "subnet_ids", {}, "without an association no client can connect", "pass a subnet of at least 1 zone"
        )
