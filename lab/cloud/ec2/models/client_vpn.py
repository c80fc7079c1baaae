"""Client VPN endpoints: create, describe, modify, delete, export; revocation lists; connections."""

import datetime
from collections.abc import Iterable
from typing import Any

from cryptography.hazmat.primitives import serialization
from moto.acm.models import acm_backends
from moto.ec2.utils import random_resource_id
from moto.logs.models import logs_backends

from lab.cloud.ec2.exceptions import (
    ClientVpnConnectionNotFoundError,
    ClientVpnConnectionUserNotFoundError,
    ClientVpnEndpointAssociationExistsError,
    ClientVpnEndpointLimitExceededError,
    ClientVpnEndpointNotFoundError,
    InvalidParameterCombinationError,
    InvalidParameterValueError,
    MissingParameterError,
)
from lab.cloud.ec2.models import client_vpn_rules as rules
from lab.cloud.ec2.models.client_vpn_profile import client_configuration
from lab.cloud.ec2.models.client_vpn_state import TERMINATED_SHOWN_FOR, ClientVpnEndpoint, Connection
from lab.cloud.ec2.models.network_interfaces import NetworkInterfaceBackend
from lab.cloud.ec2.models.tokens import ClientTokens
from lab.cloud.ec2.progress import Progress

Parameters = dict[str, Any]
"""A request's parameters by AWS's names."""


class ClientVpnBackend(NetworkInterfaceBackend):
    """Client VPN endpoints of one account and Region; a part of the EC2 backend."""

    def __init__(self, region_name: str, account_id: str) -> None:
        # moto's constructor makes the default VPC, so what the lab adds has to be ready before it.
        self.client_vpn_endpoints: dict[str, ClientVpnEndpoint] = {}
        self.client_tokens = ClientTokens()
        super().__init__(region_name, account_id)

    def create_client_vpn_endpoint(self, parameters: Parameters, tags: dict[str, str]) -> ClientVpnEndpoint:
        """Create an endpoint.

        Args:
            parameters: of CreateClientVpnEndpoint.
            tags: of its TagSpecifications.

        Returns:
            The endpoint, in the state ``pending-associate``.
        """
        self._forget_deleted_endpoints()
        vpc_id = parameters.get("VpcId")
        group_ids = list(parameters.get("SecurityGroupIds", []))
        options = parameters.get("AuthenticationOptions", [])
        server_arn = parameters.get("ServerCertificateArn")
        rules.check_settings(parameters)
        rules.check_dns_servers(parameters.get("DnsServers", []))
        rules.check_client_cidr(parameters.get("ClientCidrBlock"), self.vpc_cidrs(vpc_id) if vpc_id else [])
        rules.check_server_certificate(server_arn, self._acm_certificate(server_arn))
        rules.check_authentication(options)
        for option in options:
            if "MutualAuthentication" in option:
                root_arn = option["MutualAuthentication"].get("ClientRootCertificateChainArn")
                rules.check_client_root(root_arn, self._acm_certificate(root_arn))
        rules.check_security_groups(group_ids, vpc_id, self._vpc_of_groups())
        logging = self._checked_log_options(parameters.get("ConnectionLogOptions"))
        if len(self.client_vpn_endpoints) >= rules.MAX_ENDPOINTS:
            raise ClientVpnEndpointLimitExceededError(rules.MAX_ENDPOINTS)

        endpoint = ClientVpnEndpoint(
            id=f"cvpn-endpoint-{random_resource_id(17)}",
            region=self.region_name,
            account_id=self.account_id,
            dns_suffix=f"prod.clientvpn.{self.region_name}.amazonaws.com",
            client_cidr_block=parameters["ClientCidrBlock"],
            server_certificate_arn=parameters["ServerCertificateArn"],
            authentication_options=options,
            connection_log_options=logging,
            dns_servers=list(parameters.get("DnsServers", [])),
            transport_protocol=parameters.get("TransportProtocol", "udp"),
            vpn_port=parameters.get("VpnPort", 443),
            description=parameters.get("Description", ""),
            split_tunnel=parameters.get("SplitTunnel", False),
            vpc_id=vpc_id,
            security_group_ids=group_ids or ([self.default_group_id(vpc_id)] if vpc_id else []),
            self_service_portal=parameters.get("SelfServicePortal", "disabled"),
            client_connect_options=parameters.get("ClientConnectOptions", {"Enabled": False}),
            session_timeout_hours=parameters.get("SessionTimeoutHours", 24),
            client_login_banner_options=parameters.get("ClientLoginBannerOptions", {"Enabled": False}),
            client_route_enforcement_options=parameters.get("ClientRouteEnforcementOptions", {"Enforced": False}),
            # The API's default is true (EC2 API reference); the Terraform provider's documentation says false.
            disconnect_on_session_timeout=parameters.get("DisconnectOnSessionTimeout", True),
        )
        self._create_log_stream(endpoint)
        self.client_vpn_endpoints[endpoint.id] = endpoint
        if tags:
            self.create_tags([endpoint.id], tags)
        return endpoint

    def get_client_vpn_endpoint(self, endpoint_id: str) -> ClientVpnEndpoint:
        """Return an endpoint.

        Raises:
            ClientVpnEndpointNotFoundError: there is none, or not any more.
        """
        self._forget_deleted_endpoints()
        endpoint = self.client_vpn_endpoints.get(endpoint_id)
        if endpoint is None:
            raise ClientVpnEndpointNotFoundError(endpoint_id)
        return endpoint

    def list_client_vpn_endpoints(self, endpoint_ids: list[str]) -> list[ClientVpnEndpoint]:
        """Return these endpoints, or all of them, oldest first."""
        self._forget_deleted_endpoints()
        if endpoint_ids:
            return [self.get_client_vpn_endpoint(endpoint_id) for endpoint_id in endpoint_ids]
        return list(self.client_vpn_endpoints.values())

    def modify_client_vpn_endpoint(self, endpoint_id: str, parameters: Parameters) -> None:
        """Change what can be changed in place; everything is checked first.

        Args:
            endpoint_id: the endpoint.
            parameters: of ModifyClientVpnEndpoint; what is absent stays.
        """
        endpoint = self._live_endpoint(endpoint_id)
        rules.check_settings(parameters)
        dns = parameters.get("DnsServers")
        servers = list(dns.get("CustomDnsServers", [])) if dns and dns.get("Enabled", True) else []
        rules.check_dns_servers(servers)
        if "ServerCertificateArn" in parameters:
            arn = parameters["ServerCertificateArn"]
            rules.check_server_certificate(arn, self._acm_certificate(arn))
        vpc_id = parameters.get("VpcId") or endpoint.vpc_id
        if vpc_id and vpc_id != endpoint.vpc_id:
            if endpoint.associated:
                raise InvalidParameterValueError(
                    f"{endpoint_id} has target networks in {endpoint.vpc_id}; its VPC cannot become {vpc_id}"
                )
            rules.check_client_cidr(endpoint.client_cidr_block, self.vpc_cidrs(vpc_id))
        group_ids = list(parameters.get("SecurityGroupIds", []))
        rules.check_security_groups(group_ids, vpc_id, self._vpc_of_groups())
        if "ConnectionLogOptions" in parameters:
            options, before = (
                self._checked_log_options(parameters["ConnectionLogOptions"]),
                endpoint.connection_log_options,
            )
            if options.get("CloudwatchLogGroup") == before.get("CloudwatchLogGroup"):
                options = before | options
            endpoint.connection_log_options = options
            self._create_log_stream(endpoint)

        if dns is not None:
            endpoint.dns_servers = servers
        if vpc_id and vpc_id != endpoint.vpc_id:
            endpoint.vpc_id = vpc_id
            endpoint.security_group_ids = [self.default_group_id(vpc_id)]
        if group_ids:
            self.set_client_vpn_security_groups(endpoint, group_ids)
        for parameter, attribute in {
            "ServerCertificateArn": "server_certificate_arn",
            "VpnPort": "vpn_port",
            "Description": "description",
            "SplitTunnel": "split_tunnel",
            "SelfServicePortal": "self_service_portal",
            "ClientConnectOptions": "client_connect_options",
            "SessionTimeoutHours": "session_timeout_hours",
            "ClientLoginBannerOptions": "client_login_banner_options",
            "ClientRouteEnforcementOptions": "client_route_enforcement_options",
            "DisconnectOnSessionTimeout": "disconnect_on_session_timeout",
        }.items():
            if parameter in parameters:
                setattr(endpoint, attribute, parameters[parameter])

    def delete_client_vpn_endpoint(self, endpoint_id: str) -> ClientVpnEndpoint:
        """Delete an endpoint without associations; its rules and routes go with it."""
        endpoint = self.get_client_vpn_endpoint(endpoint_id)
        self.forget_disassociated_networks(endpoint)
        if endpoint.target_networks:
            # A refusal shows the state as a description does, so that a client that only asks again gets through.
            for network in endpoint.target_networks.values():
                network.progress.observe()
            raise ClientVpnEndpointAssociationExistsError(endpoint.target_networks)
        if endpoint.deletion is None:
            endpoint.deletion = Progress("deleting", None)
        return endpoint

    def client_vpn_endpoints_using_certificate(self, certificate_arn: str) -> list[str]:
        """Return the ARNs of the endpoints that use a certificate of ACM."""
        self._forget_deleted_endpoints()
        return [
            endpoint.arn
            for endpoint in self.client_vpn_endpoints.values()
            if certificate_arn in endpoint.certificate_arns and endpoint.deletion is None
        ]

    def export_client_vpn_client_configuration(self, endpoint_id: str) -> str:
        """Return the profile for clients of an endpoint."""
        endpoint = self._live_endpoint(endpoint_id)
        bundle = acm_backends[self.account_id][self.region_name].get_certificate(endpoint.server_certificate_arn)
        certificate = bundle._cert
        # A certificate that was imported without a chain is its own authority.
        chain = bundle.chain.decode() if bundle.chain else certificate.public_bytes(serialization.Encoding.PEM).decode()
        return client_configuration(
            protocol=endpoint.transport_protocol,
            host_name=endpoint.host_name,
            port=endpoint.vpn_port,
            chain=chain,
            server_name=bundle.common_name,
        )

    def import_client_vpn_revocation_list(self, endpoint_id: str, pem: str) -> None:
        """Put a revocation list in the place of the one before."""
        endpoint = self._live_endpoint(endpoint_id)
        rules.check_revocation_list(pem)
        endpoint.certificate_revocation_list = pem

    def report_client_vpn_connections(self, endpoint_id: str, reports: Iterable[dict[str, Any]]) -> int:
        """Merge what the data plane knows of an endpoint's connections, by connection id.

        Args:
            endpoint_id: the endpoint.
            reports: ``connectionId`` and what is known of it, in the names of the lab's HTTP.

        Returns:
            How many connections the endpoint has now.

        Raises:
            KeyError: no such endpoint, or a report lacks a field that a new connection needs.
            ValueError: a status that is none.
        """
        endpoint = self.client_vpn_endpoints[endpoint_id]
        for report in reports:
            status = report.get("status", "active")
            if status not in ("active", "terminated"):
                raise ValueError(f"status has to be active or terminated; got {status!r}")
            connection = endpoint.connections.get(report["connectionId"])
            if connection is None:
                connection = Connection(
                    connection_id=report["connectionId"],
                    common_name=report["commonName"],
                    client_ip=report["clientIp"],
                    connection_established_time=report["connectionEstablishedTime"],
                )
                endpoint.connections[connection.connection_id] = connection
            connection.ingress_bytes = int(report.get("ingressBytes", connection.ingress_bytes))
            connection.egress_bytes = int(report.get("egressBytes", connection.egress_bytes))
            connection.ingress_packets = int(report.get("ingressPackets", connection.ingress_packets))
            connection.egress_packets = int(report.get("egressPackets", connection.egress_packets))
            connection.reported_at = datetime.datetime.now(datetime.UTC)
            if status == "terminated" and connection.status != "terminated":
                connection.status, connection.ended_at = "terminated", connection.reported_at
            # An "active" that was sent before the data plane heard of the termination does not undo it.
        return len(endpoint.connections)

    def list_client_vpn_connections(self, endpoint_id: str) -> list[Connection]:
        """Return the connections, with those that ended within the last hour."""
        endpoint = self.get_client_vpn_endpoint(endpoint_id)
        oldest = datetime.datetime.now(datetime.UTC) - TERMINATED_SHOWN_FOR
        return [one for one in endpoint.connections.values() if one.ended_at is None or one.ended_at > oldest]

    def terminate_client_vpn_connections(
        self, endpoint_id: str, connection_id: str | None, username: str | None
    ) -> list[tuple[Connection, str]]:
        """Ask the data plane to end a connection, or all of a user's.

        Returns:
            Each connection with the state that it had before.
        """
        endpoint = self._live_endpoint(endpoint_id)
        if bool(connection_id) == bool(username):
            raise InvalidParameterCombinationError("Terminate by either ConnectionId or Username")
        if username:
            # Mutual authentication has no user names to find a connection by.
            raise ClientVpnConnectionUserNotFoundError(username)
        connection = endpoint.connections.get(connection_id or "")
        if connection is None:
            raise ClientVpnConnectionNotFoundError(connection_id or "")
        before = connection.status
        if before == "active":
            connection.status = "terminating"
        return [(connection, before)]

    def terminating_client_vpn_connections(self) -> list[str]:
        """Return the ids of the connections that the data plane has been asked to end and has not."""
        connections = [one for endpoint in self.client_vpn_endpoints.values() for one in endpoint.connections.values()]
        return sorted(one.connection_id for one in connections if one.status == "terminating")

    def vpc_cidrs(self, vpc_id: str) -> list[str]:
        vpc = self.get_vpc(vpc_id)
        return [association["cidr_block"] for association in vpc.get_cidr_block_association_set()]

    def set_client_vpn_security_groups(self, endpoint: ClientVpnEndpoint, group_ids: list[str]) -> None:
        """Give an endpoint, and the network interface of each association, these groups."""
        endpoint.security_group_ids = list(group_ids)
        for network in endpoint.associated:
            self.modify_network_interface_attribute(network.network_interface_id, group_ids)

    def forget_disassociated_networks(self, endpoint: ClientVpnEndpoint) -> None:
        """Drop the associations that were seen on their way out."""
        for network in [one for one in endpoint.target_networks.values() if one.progress.gone]:
            del endpoint.target_networks[network.association_id]

    def _live_endpoint(self, endpoint_id: str) -> ClientVpnEndpoint:
        endpoint = self.get_client_vpn_endpoint(endpoint_id)
        if endpoint.deletion is not None:
            raise ClientVpnEndpointNotFoundError(endpoint_id)
        return endpoint

    def _forget_deleted_endpoints(self) -> None:
        for endpoint in [one for one in self.client_vpn_endpoints.values() if one.deletion and one.deletion.gone]:
            del self.client_vpn_endpoints[endpoint.id]
            self.tags.pop(endpoint.id, None)

    def _vpc_of_groups(self) -> dict[str, str]:
        return {group_id: vpc_id for vpc_id, groups in self.groups.items() for group_id in groups}

    def _acm_certificate(self, arn: str | None) -> rules.AcmCertificate | None:
        bundle = acm_backends[self.account_id][self.region_name]._certificates.get(arn or "")
        return rules.AcmCertificate(bundle.arn, bundle._cert) if bundle else None

    def _checked_log_options(self, options: dict[str, Any] | None) -> dict[str, Any]:
        if options is None:
            raise MissingParameterError("The request must contain the parameter ConnectionLogOptions")
        if not options.get("Enabled", False):
            return {"Enabled": False}
        group = options.get("CloudwatchLogGroup")
        if not group:
            raise MissingParameterError("ConnectionLogOptions.Enabled needs CloudwatchLogGroup")
        groups = logs_backends[self.account_id][self.region_name].groups
        if group not in groups:
            raise InvalidParameterValueError(f"The CloudWatch Logs log group {group} does not exist")
        stream = options.get("CloudwatchLogStream")
        if stream and stream not in groups[group].streams:
            raise InvalidParameterValueError(f"The log stream {stream} does not exist in the log group {group}")
        return dict(options)

    def _create_log_stream(self, endpoint: ClientVpnEndpoint) -> None:
        """Create the stream that AWS creates where the request names none."""
        options = endpoint.connection_log_options
        if options["Enabled"] and not options.get("CloudwatchLogStream"):
            day = datetime.datetime.now(datetime.UTC).strftime("%Y/%m/%d")
            stream = f"{endpoint.id}-{self.region_name}-{day}-{random_resource_id(20)}"
            logs_backends[self.account_id][self.region_name].create_log_stream(options["CloudwatchLogGroup"], stream)
            options["CloudwatchLogStream"] = stream
