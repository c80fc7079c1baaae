"""Target networks, authorization rules and routes of Client VPN endpoints."""

from typing import Any

from moto.ec2.utils import random_resource_id

from lab.cloud.ec2.exceptions import (
    ClientVpnActiveAssociationNotFoundError,
    ClientVpnAssociationNotFoundError,
    ClientVpnAuthorizationRuleLimitExceededError,
    ClientVpnAuthorizationRuleNotFoundError,
    ClientVpnDuplicateAssociationError,
    ClientVpnDuplicateAuthorizationRuleError,
    ClientVpnDuplicateRouteError,
    ClientVpnRouteLimitExceededError,
    ClientVpnRouteNotFoundError,
    ClientVpnSubnetDuplicateZoneError,
    ClientVpnSubnetNotFoundError,
    ClientVpnSubnetOverlappingCidrError,
    InvalidParameterCombinationError,
    InvalidParameterValueError,
    MissingParameterError,
)
from lab.cloud.ec2.models import client_vpn_rules as rules
from lab.cloud.ec2.models.client_vpn import ClientVpnBackend
from lab.cloud.ec2.models.client_vpn_state import AuthorizationRule, ClientVpnEndpoint, Route, TargetNetwork
from lab.cloud.ec2.progress import Progress

ASSOCIATED_ROUTE = "Default Route"
"""Description of the route that an association adds."""
LOCAL = "local"
"""Target of a route between clients."""


class ClientVpnNetworkBackend(ClientVpnBackend):
    """What an endpoint lets clients reach; a part of the EC2 backend."""

    def associate_client_vpn_target_network(self, endpoint_id: str, subnet_id: str | None) -> TargetNetwork:
        """Associate a subnet: a network interface in it, and a route to its VPC.

        Args:
            endpoint_id: the endpoint.
            subnet_id: in the endpoint's VPC; the first association decides the VPC where the endpoint has none.

        Returns:
            The association, in the state ``associating``.
        """
        endpoint = self._live_endpoint(endpoint_id)
        self.forget_disassociated_networks(endpoint)
        if not subnet_id:
            raise MissingParameterError("The request must contain the parameter SubnetId")
        subnet: Any = self.get_subnet(subnet_id)
        self._check_target_network(endpoint, subnet)

        if endpoint.vpc_id is None:
            endpoint.vpc_id = subnet.vpc_id
        if not endpoint.security_group_ids:
            endpoint.security_group_ids = [self.default_group_id(subnet.vpc_id)]
        interface = self.create_service_interface(
            subnet, endpoint.security_group_ids, description=f"ClientVPN Endpoint resource {endpoint.id}"
        )
        network = TargetNetwork(
            association_id=f"cvpn-assoc-{random_resource_id(17)}",
            subnet_id=subnet.id,
            vpc_id=subnet.vpc_id,
            availability_zone=subnet.availability_zone,
            availability_zone_id=subnet.availability_zone_id,
            network_interface_id=interface.id,
        )
        endpoint.target_networks[network.association_id] = network
        endpoint.routes += [
            Route(cidr, subnet.id, "associate", ASSOCIATED_ROUTE, association=network)
            for cidr in self.vpc_cidrs(subnet.vpc_id)
        ]
        return network

    def _check_target_network(self, endpoint: ClientVpnEndpoint, subnet: Any) -> None:
        networks = endpoint.target_networks.values()
        if any(network.subnet_id == subnet.id for network in networks):
            raise ClientVpnDuplicateAssociationError(subnet.id, endpoint.id)
        if endpoint.vpc_id not in (None, subnet.vpc_id):
            raise ClientVpnSubnetNotFoundError(subnet.id, endpoint.vpc_id or "")
        if any(network.availability_zone == subnet.availability_zone for network in networks):
            raise ClientVpnSubnetDuplicateZoneError(subnet.id, subnet.availability_zone)
        overlap = rules.overlapping(endpoint.client_cidr_block, self.vpc_cidrs(subnet.vpc_id))
        if overlap is not None:
            raise ClientVpnSubnetOverlappingCidrError(subnet.id, overlap, endpoint.client_cidr_block)
        if subnet.cidr.prefixlen > rules.SMALLEST_SUBNET:
            raise InvalidParameterValueError(
                f"Subnet {subnet.id} is a /{subnet.cidr.prefixlen}; a target network has to be a "
                f"/{rules.SMALLEST_SUBNET} or larger"
            )
        free = subnet.available_ip_address_count
        if free < rules.FREE_ADDRESSES:
            raise InvalidParameterValueError(
                f"Subnet {subnet.id} has {free} free addresses; a target network needs {rules.FREE_ADDRESSES}"
            )

    def disassociate_client_vpn_target_network(self, endpoint_id: str, association_id: str) -> TargetNetwork:
        """Undo an association: its network interface and its routes go at once, the association after it was seen."""
        endpoint = self._live_endpoint(endpoint_id)
        self.forget_disassociated_networks(endpoint)
        network = endpoint.target_networks.get(association_id)
        if network is None:
            raise ClientVpnAssociationNotFoundError(association_id)
        if not network.progress.ends:
            network.progress = Progress("disassociating", None)
            self.delete_service_interface(network.network_interface_id)
            endpoint.routes = [route for route in endpoint.routes if route.target_subnet != network.subnet_id]
        return network

    def list_client_vpn_target_networks(self, endpoint_id: str, association_ids: list[str]) -> list[TargetNetwork]:
        """Return these associations, or all of them, oldest first."""
        endpoint = self.get_client_vpn_endpoint(endpoint_id)
        self.forget_disassociated_networks(endpoint)
        for association_id in association_ids:
            if association_id not in endpoint.target_networks:
                raise ClientVpnAssociationNotFoundError(association_id)
        networks = endpoint.target_networks.values()
        return [network for network in networks if not association_ids or network.association_id in association_ids]

    def apply_security_groups_to_client_vpn(self, endpoint_id: str, vpc_id: str, group_ids: list[str]) -> list[str]:
        """Put these groups on the endpoint's target networks of a VPC."""
        endpoint = self._live_endpoint(endpoint_id)
        if vpc_id != endpoint.vpc_id:
            raise InvalidParameterValueError(f"{endpoint_id} is not in {vpc_id}; its VPC is {endpoint.vpc_id}")
        if not group_ids:
            raise MissingParameterError("The request must contain the parameter SecurityGroupId")
        rules.check_security_groups(group_ids, vpc_id, self._vpc_of_groups())
        self.set_client_vpn_security_groups(endpoint, group_ids)
        return group_ids

    def authorize_client_vpn_ingress(
        self, endpoint_id: str, cidr: str, group_id: str | None, all_groups: bool, description: str
    ) -> AuthorizationRule:
        """Let clients reach a network: those of a group, or all."""
        endpoint = self._live_endpoint(endpoint_id)
        self._forget_revoked_rules(endpoint)
        rules.parse_cidr(cidr, "TargetNetworkCidr")
        group = _one_group(group_id, all_groups, "AuthorizeAllGroups")
        if any((rule.destination_cidr, rule.group_id) == (cidr, group) for rule in endpoint.authorization_rules):
            raise ClientVpnDuplicateAuthorizationRuleError(cidr)
        if len(endpoint.authorization_rules) >= rules.MAX_AUTHORIZATION_RULES:
            raise ClientVpnAuthorizationRuleLimitExceededError(rules.MAX_AUTHORIZATION_RULES)
        rule = AuthorizationRule(cidr, group, description)
        endpoint.authorization_rules.append(rule)
        return rule

    def revoke_client_vpn_ingress(
        self, endpoint_id: str, cidr: str, group_id: str | None, all_groups: bool
    ) -> AuthorizationRule:
        endpoint = self._live_endpoint(endpoint_id)
        self._forget_revoked_rules(endpoint)
        group = _one_group(group_id, all_groups, "RevokeAllGroups")
        for rule in endpoint.authorization_rules:
            if (rule.destination_cidr, rule.group_id) == (cidr, group):
                if not rule.progress.ends:
                    rule.progress = Progress("revoking", None)
                return rule
        raise ClientVpnAuthorizationRuleNotFoundError(cidr)

    def list_client_vpn_authorization_rules(self, endpoint_id: str) -> list[AuthorizationRule]:
        """Return the rules, oldest first."""
        endpoint = self.get_client_vpn_endpoint(endpoint_id)
        self._forget_revoked_rules(endpoint)
        return list(endpoint.authorization_rules)

    def _forget_revoked_rules(self, endpoint: ClientVpnEndpoint) -> None:
        endpoint.authorization_rules = [rule for rule in endpoint.authorization_rules if not rule.progress.gone]

    def create_client_vpn_route(self, endpoint_id: str, cidr: str, subnet_id: str | None, description: str) -> Route:
        """Send clients' traffic for a network through an associated subnet, or to other clients (``local``)."""
        endpoint = self._live_endpoint(endpoint_id)
        self._forget_deleted_routes(endpoint)
        rules.parse_cidr(cidr, "DestinationCidrBlock")
        if not subnet_id:
            raise MissingParameterError("The request must contain the parameter TargetVpcSubnetId")
        if subnet_id != LOCAL:
            if not any(network.subnet_id == subnet_id for network in endpoint.associated):
                raise ClientVpnActiveAssociationNotFoundError(endpoint_id, subnet_id)
            # API, ClientCidrBlock: no overlap with "the routes that you add manually"; everything (0.0.0.0/0) is
            # allowed, it
            # is AWS's own example for access to the internet.
            if cidr != "0.0.0.0/0" and rules.overlapping(cidr, [endpoint.client_cidr_block]):
                raise InvalidParameterValueError(f"{cidr} overlaps the client CIDR {endpoint.client_cidr_block}")
        routes = [route for route in endpoint.routes if route.target_subnet == subnet_id]
        if any(route.destination_cidr == cidr for route in routes):
            raise ClientVpnDuplicateRouteError(cidr, subnet_id)
        if len(routes) >= rules.MAX_ROUTES_PER_TARGET_NETWORK:
            raise ClientVpnRouteLimitExceededError(rules.MAX_ROUTES_PER_TARGET_NETWORK)
        route = Route(cidr, subnet_id, "add-route", description)
        endpoint.routes.append(route)
        return route

    def delete_client_vpn_route(self, endpoint_id: str, cidr: str, subnet_id: str | None) -> Route:
        """Delete a route that was added; that of an association goes with the association."""
        endpoint = self._live_endpoint(endpoint_id)
        self._forget_deleted_routes(endpoint)
        for route in endpoint.routes:
            if route.destination_cidr == cidr and subnet_id in (None, route.target_subnet):
                if route.origin == "associate":
                    raise InvalidParameterValueError(
                        f"The route to {cidr} came with the association of {route.target_subnet}; disassociate "
                        f"that instead"
                    )
                if not route.progress.ends:
                    route.progress = Progress("deleting", None)
                return route
        raise ClientVpnRouteNotFoundError(cidr, subnet_id or "any subnet")

    def list_client_vpn_routes(self, endpoint_id: str) -> list[Route]:
        """Return the routes, oldest first."""
        endpoint = self.get_client_vpn_endpoint(endpoint_id)
        self._forget_deleted_routes(endpoint)
        return list(endpoint.routes)

    def _forget_deleted_routes(self, endpoint: ClientVpnEndpoint) -> None:
        endpoint.routes = [route for route in endpoint.routes if not route.progress.gone]


def _one_group(group_id: str | None, all_groups: bool, all_parameter: str) -> str:
    """Return the group that a rule is for, empty for all of them.

    Raises:
        InvalidParameterCombinationError: both are given.
        MissingParameterError: neither is.
    """
    if group_id and all_groups:
        raise InvalidParameterCombinationError(f"AccessGroupId and {all_parameter} exclude each other")
    if not group_id and not all_groups:
        raise MissingParameterError(f"The request must contain either AccessGroupId or {all_parameter}")
    return group_id or ""
