"""Target networks, authorization rules and routes of Client VPN endpoints."""

from moto.core.responses import ActionResult

from lab.cloud.ec2.responses.base import LabResponse


class ClientVpnNetworks(LabResponse):
    def associate_client_vpn_target_network(self) -> ActionResult:
        self.error_on_dryrun()
        endpoint_id, subnet_id = self._get_param("ClientVpnEndpointId"), self._get_param("SubnetId")
        network = self.once(
            "AssociateClientVpnTargetNetwork",
            lambda: self.backend.associate_client_vpn_target_network(endpoint_id, subnet_id),
        )
        return self.result(AssociationId=network.association_id, Status={"Code": network.progress.code})

    def describe_client_vpn_target_networks(self) -> ActionResult:
        self.error_on_dryrun()
        endpoint_id = self._get_param("ClientVpnEndpointId")
        networks = self.filtered(
            self.backend.list_client_vpn_target_networks(endpoint_id, self._get_param("AssociationIds", [])),
            {
                "association-id": lambda network: network.association_id,
                "target-network-id": lambda network: network.subnet_id,
                "vpc-id": lambda network: network.vpc_id,
            },
        )
        shown, token = self.page(networks)
        groups = self.backend.get_client_vpn_endpoint(endpoint_id).security_group_ids
        items = [
            {
                "AssociationId": network.association_id,
                "VpcId": network.vpc_id,
                "TargetNetworkId": network.subnet_id,
                "ClientVpnEndpointId": endpoint_id,
                "Status": {"Code": network.progress.observe()},
                "SecurityGroups": groups,
                "AvailabilityZones": [network.availability_zone],
                "AvailabilityZoneIds": [network.availability_zone_id],
            }
            for network in shown
        ]
        return self.result(ClientVpnTargetNetworks=items, NextToken=token)

    def disassociate_client_vpn_target_network(self) -> ActionResult:
        self.error_on_dryrun()
        network = self.backend.disassociate_client_vpn_target_network(
            self._get_param("ClientVpnEndpointId"), self._get_param("AssociationId")
        )
        return self.result(AssociationId=network.association_id, Status={"Code": network.progress.code})

    def apply_security_groups_to_client_vpn_target_network(self) -> ActionResult:
        self.error_on_dryrun()
        group_ids = self.backend.apply_security_groups_to_client_vpn(
            self._get_param("ClientVpnEndpointId"), self._get_param("VpcId"), self._get_param("SecurityGroupIds", [])
        )
        return self.result(SecurityGroupIds=group_ids)

    def authorize_client_vpn_ingress(self) -> ActionResult:
        self.error_on_dryrun()
        rule = self.once(
            "AuthorizeClientVpnIngress",
            lambda: self.backend.authorize_client_vpn_ingress(
                self._get_param("ClientVpnEndpointId"),
                self._get_param("TargetNetworkCidr"),
                self._get_param("AccessGroupId"),
                self._get_bool_param("AuthorizeAllGroups", False),
                self._get_param("Description", ""),
            ),
        )
        return self.result(Status={"Code": rule.progress.code})

    def revoke_client_vpn_ingress(self) -> ActionResult:
        self.error_on_dryrun()
        rule = self.backend.revoke_client_vpn_ingress(
            self._get_param("ClientVpnEndpointId"),
            self._get_param("TargetNetworkCidr"),
            self._get_param("AccessGroupId"),
            self._get_bool_param("RevokeAllGroups", False),
        )
        return self.result(Status={"Code": rule.progress.code})

    def describe_client_vpn_authorization_rules(self) -> ActionResult:
        self.error_on_dryrun()
        endpoint_id = self._get_param("ClientVpnEndpointId")
        rules = self.filtered(
            self.backend.list_client_vpn_authorization_rules(endpoint_id),
            {
                "description": lambda rule: rule.description,
                "destination-cidr": lambda rule: rule.destination_cidr,
                "group-id": lambda rule: rule.group_id,
            },
        )
        shown, token = self.page(rules)
        items = [
            {
                "ClientVpnEndpointId": endpoint_id,
                "Description": rule.description,
                "GroupId": rule.group_id,
                "AccessAll": not rule.group_id,
                "DestinationCidr": rule.destination_cidr,
                "Status": {"Code": rule.progress.observe()},
            }
            for rule in shown
        ]
        return self.result(AuthorizationRules=items, NextToken=token)

    def create_client_vpn_route(self) -> ActionResult:
        self.error_on_dryrun()
        route = self.once(
            "CreateClientVpnRoute",
            lambda: self.backend.create_client_vpn_route(
                self._get_param("ClientVpnEndpointId"),
                self._get_param("DestinationCidrBlock"),
                self._get_param("TargetVpcSubnetId"),
                self._get_param("Description", ""),
            ),
        )
        return self.result(Status={"Code": route.progress.code})

    def delete_client_vpn_route(self) -> ActionResult:
        self.error_on_dryrun()
        route = self.backend.delete_client_vpn_route(
            self._get_param("ClientVpnEndpointId"),
            self._get_param("DestinationCidrBlock"),
            self._get_param("TargetVpcSubnetId"),
        )
        return self.result(Status={"Code": route.progress.code})

    def describe_client_vpn_routes(self) -> ActionResult:
        self.error_on_dryrun()
        endpoint_id = self._get_param("ClientVpnEndpointId")
        routes = self.filtered(
            self.backend.list_client_vpn_routes(endpoint_id),
            {
                "destination-cidr": lambda route: route.destination_cidr,
                "origin": lambda route: route.origin,
                "target-subnet": lambda route: route.target_subnet,
            },
        )
        shown, token = self.page(routes)
        items = [
            {
                "ClientVpnEndpointId": endpoint_id,
                "DestinationCidr": route.destination_cidr,
                "TargetSubnet": route.target_subnet,
                "Type": "Nat",
                "Origin": route.origin,
                "Status": {"Code": route.observe()},
                "Description": route.description,
            }
            for route in shown
        ]
        return self.result(Routes=items, NextToken=token)
