"""Client VPN endpoints, revocation lists and connections."""

from moto.core.responses import ActionResult

from lab.cloud.ec2.models.client_vpn_state import ClientVpnEndpoint, Connection
from lab.cloud.ec2.responses.base import LabResponse


class ClientVpn(LabResponse):
    def create_client_vpn_endpoint(self) -> ActionResult:
        self.error_on_dryrun()
        parameters = self.parameters()
        tags = self._parse_tag_specification("client-vpn-endpoint").get("client-vpn-endpoint", {})
        endpoint: ClientVpnEndpoint = self.once(
            "CreateClientVpnEndpoint", lambda: self.backend.create_client_vpn_endpoint(parameters, tags)
        )
        return self.result(ClientVpnEndpointId=endpoint.id, Status={"Code": endpoint.status}, DnsName=endpoint.dns_name)

    def describe_client_vpn_endpoints(self) -> ActionResult:
        self.error_on_dryrun()
        endpoints = self.filtered(
            self.backend.list_client_vpn_endpoints(self._get_param("ClientVpnEndpointIds", [])),
            {
                "endpoint-id": lambda endpoint: endpoint.id,
                "transport-protocol": lambda endpoint: endpoint.transport_protocol,
                "tag": lambda endpoint: self.backend.tags.get(endpoint.id, {}),
            },
        )
        shown, token = self.page(endpoints)
        items = [endpoint.to_dict(self.backend.tag_items(endpoint.id)) for endpoint in shown]
        return self.result(ClientVpnEndpoints=items, NextToken=token)

    def modify_client_vpn_endpoint(self) -> ActionResult:
        self.error_on_dryrun()
        self.backend.modify_client_vpn_endpoint(self._get_param("ClientVpnEndpointId"), self.parameters())
        return self.result(Return=True)

    def delete_client_vpn_endpoint(self) -> ActionResult:
        self.error_on_dryrun()
        endpoint = self.backend.delete_client_vpn_endpoint(self._get_param("ClientVpnEndpointId"))
        return self.result(Status={"Code": endpoint.status})

    def export_client_vpn_client_configuration(self) -> ActionResult:
        self.error_on_dryrun()
        endpoint_id = self._get_param("ClientVpnEndpointId")
        return self.result(ClientConfiguration=self.backend.export_client_vpn_client_configuration(endpoint_id))

    def import_client_vpn_client_certificate_revocation_list(self) -> ActionResult:
        self.error_on_dryrun()
        self.backend.import_client_vpn_revocation_list(
            self._get_param("ClientVpnEndpointId"), self._get_param("CertificateRevocationList")
        )
        return self.result(Return=True)

    def export_client_vpn_client_certificate_revocation_list(self) -> ActionResult:
        """Answer ExportClientVpnClientCertificateRevocationList; without a list, both members are absent."""
        self.error_on_dryrun()
        revocations = self.backend.get_client_vpn_endpoint(
            self._get_param("ClientVpnEndpointId")
        ).certificate_revocation_list
        if revocations is None:
            return self.result()
        return self.result(CertificateRevocationList=revocations, Status={"Code": "active"})

    def describe_client_vpn_connections(self) -> ActionResult:
        self.error_on_dryrun()
        endpoint_id = self._get_param("ClientVpnEndpointId")
        connections: list[Connection] = self.filtered(
            self.backend.list_client_vpn_connections(endpoint_id),
            {"connection-id": lambda connection: connection.connection_id, "username": lambda _: "N/A"},
        )
        shown, token = self.page(connections)
        return self.result(Connections=[one.to_dict(endpoint_id) for one in shown], NextToken=token)

    def terminate_client_vpn_connections(self) -> ActionResult:
        self.error_on_dryrun()
        endpoint_id = self._get_param("ClientVpnEndpointId")
        username = self._get_param("Username")
        terminated = self.backend.terminate_client_vpn_connections(
            endpoint_id, self._get_param("ConnectionId"), username
        )
        statuses = [
            {
                "ConnectionId": connection.connection_id,
                "PreviousStatus": {"Code": before},
                "CurrentStatus": {"Code": connection.status},
            }
            for connection, before in terminated
        ]
        return self.result(ClientVpnEndpointId=endpoint_id, Username=username, ConnectionStatuses=statuses)
