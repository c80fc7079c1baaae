"""The tunnel from devices into the VPC: AWS Client VPN with certificates of its own authority."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any, NotRequired, Self, TypedDict

import pulumi
import pulumi_aws as aws

from private_iot import certificates, cidr, names, ovpn_profile
from private_iot.arguments import flag, given, one_of, require, texts, whole_number
from private_iot.errors import ArgumentError

TYPE = "private-iot:index:ClientVpnAccess"
_API = "AWS Client VPN"
_RETENTION_DAYS = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653,
)  # fmt: skip
BANNER_LIMIT = 1400
"""Characters of the login banner (EC2 API reference, ClientLoginBannerOptions)."""
LONGEST_VALIDITY_DAYS = 36_500
"""A hundred years: the tls provider counts nanoseconds in 64 bits, which end after 292 years."""


class ClientVpnAccessArgs(TypedDict):
    """Arguments of `ClientVpnAccess`."""

    vpc_id: pulumi.Input[str]
    """The VPC that the tunnel ends in."""
    vpc_cidr_block: pulumi.Input[str]
    """The VPC's network, which every client is authorized for."""
    subnet_ids: list[pulumi.Input[str]]
    """Subnets to associate, one a zone, each a /27 or larger with 20 free addresses."""
    security_group_ids: pulumi.Input[list[pulumi.Input[str]]]
    """Groups of the associations: what clients may reach."""
    clients: list[str]
    """Names of the devices; each gets a certificate with that common name, and a profile."""
    private_domains: NotRequired[pulumi.Input[list[pulumi.Input[str]]]]
    """Names that devices ask the VPC's resolver for. Default: every name."""
    client_cidr_block: NotRequired[str]
    """Addresses of the clients, a /12 to a /22 outside the VPC. Cannot change in place. Default: 172.31.0.0/16."""
    dns_servers: NotRequired[list[str]]
    """One or two resolvers that clients are given. Default: the VPC's own, its base plus two."""
    transport_protocol: NotRequired[str]
    """`udp` or `tcp`. Cannot change in place. Default: udp."""
    vpn_port: NotRequired[int]
    """443 or 1194. Default: 443."""
    split_tunnel: NotRequired[bool]
    """Whether only the VPC's traffic goes through the tunnel. Default: true."""
    session_timeout_hours: NotRequired[int]
    """8, 10, 12 or 24. Default: 24."""
    disconnect_on_session_timeout: NotRequired[bool]
    """Whether a client stays away after the session's end. Default: false, since nobody is there to reconnect."""
    connection_log: NotRequired[bool]
    """Whether connections are logged to CloudWatch Logs. Default: true."""
    log_retention_days: NotRequired[int]
    """Days that the log is kept, one of CloudWatch's values. Default: 90."""
    login_banner: NotRequired[str]
    """Text that AWS's own client shows at connection, 1400 characters at most. Default: none."""
    server_name: NotRequired[str]
    """Dotted DNS name in the server's certificate. Default: server.private-iot.internal."""
    ca_validity_days: NotRequired[int]
    """Days that the certificate authority is valid. Default: 3650."""
    certificate_validity_days: NotRequired[int]
    """Days that the server's and the clients' certificates are valid. Default: 825, as Easy-RSA's."""
    tags: NotRequired[dict[str, pulumi.Input[str]]]
    """Tags of every resource that takes them, beside Name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Arguments:
    clients: tuple[str, ...]
    client_network: IPv4Network
    dns_servers: tuple[str, ...]
    transport_protocol: str
    vpn_port: int
    split_tunnel: bool
    session_timeout_hours: int
    disconnect_on_session_timeout: bool
    connection_log: bool
    log_retention_days: int
    login_banner: str | None
    server_name: str
    ca_validity_days: int
    certificate_validity_days: int
    tags: dict[str, pulumi.Input[str]]

    @classmethod
    def of(cls, args: Mapping[str, Any]) -> Self:
        values = given("ClientVpnAccess", args, ClientVpnAccessArgs)
        dns_servers = texts("dns_servers", values["dns_servers"]) if "dns_servers" in values else None
        arguments = cls(
            clients=names.device_names("clients", values.get("clients", [])),
            client_network=cidr.client_network("client_cidr_block", values.get("client_cidr_block", "172.31.0.0/16")),
            dns_servers=() if dns_servers is None else cidr.dns_servers("dns_servers", dns_servers),
            transport_protocol=values.get("transport_protocol", "udp"),
            vpn_port=whole_number("vpn_port", values.get("vpn_port", 443)),
            split_tunnel=flag("split_tunnel", values.get("split_tunnel", True)),
            session_timeout_hours=whole_number("session_timeout_hours", values.get("session_timeout_hours", 24)),
            disconnect_on_session_timeout=flag(
                "disconnect_on_session_timeout", values.get("disconnect_on_session_timeout", False)
            ),
            connection_log=flag("connection_log", values.get("connection_log", True)),
            log_retention_days=whole_number("log_retention_days", values.get("log_retention_days", 90)),
            login_banner=values.get("login_banner"),
            server_name=names.server_name("server_name", values.get("server_name", "server.private-iot.internal")),
            ca_validity_days=whole_number("ca_validity_days", values.get("ca_validity_days", 3650)),
            certificate_validity_days=whole_number(
                "certificate_validity_days", values.get("certificate_validity_days", 825)
            ),
            tags=dict(values.get("tags", {})),
        )
        one_of("transport_protocol", arguments.transport_protocol, ("udp", "tcp"), _API)
        one_of("vpn_port", arguments.vpn_port, (443, 1194), _API)
        one_of("session_timeout_hours", arguments.session_timeout_hours, (8, 10, 12, 24), _API)
        one_of("log_retention_days", arguments.log_retention_days, _RETENTION_DAYS, "CloudWatch Logs")
        if "subnet_ids" in values:
            _check_subnet_ids(values["subnet_ids"])
        arguments._check_banner()
        arguments._check_validity()
        vpc = values.get("vpc_cidr_block")
        if isinstance(vpc, str):
            arguments.vpc(vpc)
        return arguments

    def vpc(self, block: str) -> IPv4Network:
        """Return the VPC's network, which may be known only later, once it is known not to overlap the clients'."""
        network = cidr.vpc_network("vpc_cidr_block", block)
        cidr.check_disjoint("client_cidr_block", self.client_network, network)
        return network

    def resolvers(self, vpc: IPv4Network) -> list[str]:
        return list(self.dns_servers) or [cidr.dns_server(vpc)]

    def _check_banner(self) -> None:
        banner = self.login_banner
        if banner is not None and (not isinstance(banner, str) or not 1 <= len(banner) <= BANNER_LIMIT):
            raise ArgumentError(
                "login_banner", banner, f"{_API} takes a text of 1 to {BANNER_LIMIT} characters", "shorten it"
            )

    def _check_validity(self) -> None:
        for argument, days in (
            ("ca_validity_days", self.ca_validity_days),
            ("certificate_validity_days", self.certificate_validity_days),
        ):
            if not 1 <= days <= LONGEST_VALIDITY_DAYS:
                raise ArgumentError(
                    argument,
                    days,
                    f"a certificate is valid for 1 to {LONGEST_VALIDITY_DAYS} days",
                    "choose a number there",
                )
        if self.certificate_validity_days > self.ca_validity_days:
            raise ArgumentError(
                "certificate_validity_days",
                self.certificate_validity_days,
                f"a certificate ends with its authority, after {self.ca_validity_days} days",
                "lower it or raise ca_validity_days",
            )


def _check_subnet_ids(subnet_ids: object) -> None:
    if not isinstance(subnet_ids, (list, tuple)):
        raise ArgumentError(
            "subnet_ids",
            type(subnet_ids).__name__,
            "it must be a plain list, since it decides how many associations there are",
            "write [*network.subnet_ids]",
        )
    if not subnet_ids:
        raise ArgumentError(
            "subnet_ids", [], "without an association no client can connect", "pass a subnet of at least 1 zone"
        )


class ClientVpnAccess(pulumi.ComponentResource):
    """An AWS Client VPN endpoint, its certificates, and one profile a device."""

    client_vpn_endpoint_id: pulumi.Output[str]
    """The endpoint."""
    dns_servers: pulumi.Output[list[str]]
    """The resolvers that clients are given."""
    server_certificate_arn: pulumi.Output[str]
    """The server's certificate in AWS Certificate Manager; it stays the same when the certificate is renewed."""
    client_configs: pulumi.Output[dict[str, str]]
    """Each device's OpenVPN profile with its certificate and key inline. Secret."""

    def __init__(self, name: str, args: ClientVpnAccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Register the certificates and the endpoint.

        Args:
            name: The first part of every child's name and Name tag: `private-iot` makes `private-iot-clientvpn`.
            args: What it should be like.
            opts: Options of the component; its children use its aws and tls providers.

        Raises:
            ArgumentError: An argument is refused; nothing was registered.
        """
        arguments = _Arguments.of(args)
        require("ClientVpnAccess", args, ClientVpnAccessArgs)
        super().__init__(TYPE, name, {}, opts)
        self._prefix = name
        self._args = args
        self._arguments = arguments

        vpc = pulumi.Output.from_input(args["vpc_cidr_block"]).apply(arguments.vpc)
        self.dns_servers = vpc.apply(arguments.resolvers)
        issued = certificates.issue(
            name,
            server_name=arguments.server_name,
            clients=arguments.clients,
            ca_validity_days=arguments.ca_validity_days,
            certificate_validity_days=arguments.certificate_validity_days,
            parent=self,
        )
        self.server_certificate_arn = self._import_server_certificate(issued)
        endpoint = self._endpoint()
        self._associate_and_authorize(endpoint, vpc.apply(str))
        self.client_vpn_endpoint_id = endpoint.id
        self.client_configs = self._profiles(endpoint, issued)
        # Without the profiles: the state would keep each secret once more, and it is written again after every step.
        self.register_outputs(
            {
                "clientVpnEndpointId": self.client_vpn_endpoint_id,
                "dnsServers": self.dns_servers,
                "serverCertificateArn": self.server_certificate_arn,
            }
        )

    @staticmethod
    def check(args: Mapping[str, Any]) -> None:
        """Refuse bad arguments without registering anything.

        Args:
            args: Arguments of this component; those that are still to come may be missing.

        Raises:
            ArgumentError: One is refused.
        """
        _Arguments.of(args)

    def _tags(self, suffix: str) -> dict[str, pulumi.Input[str]]:
        return {**self._arguments.tags, "Name": f"{self._prefix}-{suffix}"}

    def _import_server_certificate(self, issued: certificates.Certificates) -> pulumi.Output[str]:
        """Import the server's certificate with its authority.

        A renewed one is imported under the same ARN, which no endpoint and no profile notices; the PEM text is passed
        on as it came, since the provider compares it byte by byte.
        """
        certificate = aws.acm.Certificate(
            f"{self._prefix}-server",
            certificate_body=issued.server.certificate_pem,
            private_key=issued.server.private_key_pem,
            certificate_chain=issued.ca_certificate_pem,
            tags=self._tags("server"),
            opts=pulumi.ResourceOptions(parent=self),
        )
        return certificate.arn

    def _connection_log(self) -> aws.ec2clientvpn.EndpointConnectionLogOptionsArgs:
        if not self._arguments.connection_log:
            return aws.ec2clientvpn.EndpointConnectionLogOptionsArgs(enabled=False)
        group = aws.cloudwatch.LogGroup(
            f"{self._prefix}-clientvpn-log",
            retention_in_days=self._arguments.log_retention_days,
            tags=self._tags("clientvpn-log"),
            opts=pulumi.ResourceOptions(parent=self),
        )
        return aws.ec2clientvpn.EndpointConnectionLogOptionsArgs(enabled=True, cloudwatch_log_group=group.name)

    def _endpoint(self) -> aws.ec2clientvpn.Endpoint:
        """Make the endpoint.

        One authority issued the server's certificate and the clients', so that the server's ARN also is the clients'
        root chain (Client VPN administrator guide, "Mutual authentication in AWS Client VPN").
        """
        arguments = self._arguments
        banner = arguments.login_banner
        return aws.ec2clientvpn.Endpoint(
            f"{self._prefix}-clientvpn",
            description=f"{self._prefix}-clientvpn",
            vpc_id=self._args["vpc_id"],
            security_group_ids=self._args["security_group_ids"],
            client_cidr_block=str(arguments.client_network),
            server_certificate_arn=self.server_certificate_arn,
            authentication_options=[
                aws.ec2clientvpn.EndpointAuthenticationOptionArgs(
                    type="certificate-authentication", root_certificate_chain_arn=self.server_certificate_arn
                )
            ],
            dns_servers=self.dns_servers,
            transport_protocol=arguments.transport_protocol,
            vpn_port=arguments.vpn_port,
            split_tunnel=arguments.split_tunnel,
            session_timeout_hours=arguments.session_timeout_hours,
            disconnect_on_session_timeout=arguments.disconnect_on_session_timeout,
            connection_log_options=self._connection_log(),
            client_login_banner_options=(
                aws.ec2clientvpn.EndpointClientLoginBannerOptionsArgs(enabled=True, banner_text=banner)
                if banner
                else None
            ),
            tags=self._tags("clientvpn"),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _associate_and_authorize(self, endpoint: aws.ec2clientvpn.Endpoint, vpc_cidr_block: pulumi.Output[str]) -> None:
        """Associate the subnets, then let every client reach the VPC.

        The order is that of AWS's own guide ("Get started with AWS Client VPN"); rules that stay `authorizing` until
        the provider gives up are a known complaint (terraform-provider-aws #16890). An association brings the VPC's
        route itself.
        """
        associations = [
            aws.ec2clientvpn.NetworkAssociation(
                f"{self._prefix}-clientvpn-association-{number}",
                client_vpn_endpoint_id=endpoint.id,
                subnet_id=subnet_id,
                opts=pulumi.ResourceOptions(parent=self),
            )
            for number, subnet_id in enumerate(self._args["subnet_ids"], 1)
        ]
        aws.ec2clientvpn.AuthorizationRule(
            f"{self._prefix}-clientvpn-authorization",
            client_vpn_endpoint_id=endpoint.id,
            target_network_cidr=vpc_cidr_block,
            authorize_all_groups=True,
            description="Every device may reach the VPC",
            opts=pulumi.ResourceOptions(parent=self, depends_on=associations),
        )

    def _profiles(
        self, endpoint: aws.ec2clientvpn.Endpoint, issued: certificates.Certificates
    ) -> pulumi.Output[dict[str, str]]:
        arguments = self._arguments

        def written(values: dict[str, Any]) -> dict[str, str]:
            remote = ovpn_profile.Remote(
                dns_name=values["dns_name"],
                port=arguments.vpn_port,
                protocol=arguments.transport_protocol,
                ca_certificate_pem=values["ca_certificate_pem"],
                server_name=arguments.server_name,
                split_tunnel=arguments.split_tunnel,
            )
            return {
                client: ovpn_profile.device_profile(
                    remote,
                    certificate_pem=certificate_pem,
                    private_key_pem=private_key_pem,
                    private_domains=values["private_domains"],
                )
                for client, (certificate_pem, private_key_pem) in values["clients"].items()
            }

        known = pulumi.Output.all(
            dns_name=endpoint.dns_name,
            ca_certificate_pem=issued.ca_certificate_pem,
            private_domains=self._args.get("private_domains") or [],
            clients={
                client: [certificate.certificate_pem, certificate.private_key_pem]
                for client, certificate in issued.clients.items()
            },
        )
        return pulumi.Output.secret(known.apply(written))
