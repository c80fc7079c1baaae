"""VPC endpoints: interface endpoints as AWS makes them; gateway endpoints as moto does.

The texts of the refusals are AWS's, as public reports quote them, where the comment says so.
"""

import json
from collections.abc import Collection
from typing import Any

from moto.ec2.exceptions import InvalidVpcEndPointIdError
from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend
from moto.ec2.models.vpcs import VPC, VPCEndPoint

from lab.cloud.ec2.exceptions import (
    DuplicateSubnetsInSameZoneError,
    InvalidFilterError,
    InvalidParameterCombinationError,
    InvalidParameterError,
    SecurityGroupNotFoundError,
    UnsupportedOperationError,
    VpcEndpointServiceNotFoundError,
)
from lab.cloud.ec2.models.network_interfaces import NetworkInterfaceBackend
from lab.cloud.ec2.models.vpc_endpoint_services import iot_endpoint_services
from lab.cloud.ec2.models.vpc_endpoint_state import EndpointInterface, VpcEndpoint
from lab.cloud.ec2.progress import Progress

Parameters = dict[str, Any]
INTERFACE = "Interface"
GATEWAY = "Gateway"
DEFAULT_POLICY = json.dumps(VPCEndPoint.DEFAULT_POLICY)


class VpcEndpointBackend(NetworkInterfaceBackend):
    """A part of the EC2 backend."""

    def __init__(self, region_name: str, account_id: str) -> None:
        # moto's constructor makes the default VPC, so what the lab adds has to be ready before it.
        self.vpc_endpoints: dict[str, VpcEndpoint] = {}
        super().__init__(region_name, account_id)

    def endpoint_services(self, wanted: Collection[str] = ()) -> list[dict[str, Any]]:
        """Return what DescribeVpcEndpointServices knows: moto's list with AWS IoT's services as AWS has them.

        Args:
            wanted: Names that are asked for; moto's list, for which it imports forty services, is left out where all
                of these are the lab's.
        """
        zones = [zone.name for zone in RegionsAndZonesBackend.zones.get(self.region_name, [])]
        iot = iot_endpoint_services(self.region_name, zones)
        names = {service["ServiceName"] for service in iot} | {f"com.amazonaws.{self.region_name}.iot"}
        custom = [configuration.to_dict() for configuration in self.configurations.values()]
        if wanted and {service["ServiceName"] for service in [*custom, *iot]}.issuperset(wanted):
            return sorted([*custom, *iot], key=lambda service: str(service["ServiceName"]))
        others = self._collect_default_endpoint_services(self.account_id, self.region_name)
        unique = {service["ServiceName"]: service for service in others if service["ServiceName"] not in names}
        return sorted([*unique.values(), *custom, *iot], key=lambda service: str(service["ServiceName"]))

    def list_endpoint_services(self, names: list[str], filters: dict[str, list[str]]) -> list[dict[str, Any]]:
        """Return the services with these names that pass the filters."""
        services = self.endpoint_services(names)
        known = {service["ServiceName"] for service in services}
        for name in names:
            if name not in known:
                raise VpcEndpointServiceNotFoundError(name)
        services = [service for service in services if not names or service["ServiceName"] in names]
        for name, values in filters.items():
            services = [service for service in services if _passes(service, name, values)]
        return services

    def create_endpoint(self, parameters: Parameters, tags: dict[str, str]) -> VpcEndpoint:
        """Create an endpoint.

        Args:
            parameters: of CreateVpcEndpoint.
            tags: of its TagSpecifications.

        Returns:
            The endpoint; an interface endpoint in the state ``pending``.
        """
        self._forget_deleted_endpoints_of_vpc()
        vpc = self.get_vpc(parameters["VpcId"])
        service = self._service(parameters["ServiceName"])
        kind = parameters.get("VpcEndpointType", GATEWAY)
        types = [item["ServiceType"] for item in service["ServiceType"]]
        if kind not in types and kind in (INTERFACE, GATEWAY):
            # Text as quoted in hashicorp/terraform-provider-aws reports.
            raise InvalidParameterError(
                f"Endpoint type ({kind}) does not match available service types ([{', '.join(types)}])."
            )
        if kind == GATEWAY:
            return self._create_gateway_endpoint(parameters, tags)
        if kind != INTERFACE:
            raise UnsupportedOperationError(f"The lab has VPC endpoints of the types Interface and Gateway; got {kind}")
        return self._create_interface_endpoint(vpc, service, parameters, tags)

    def _create_gateway_endpoint(self, parameters: Parameters, tags: dict[str, str]) -> VpcEndpoint:
        # moto adds the routes and knows the prefix lists.
        made = super().create_vpc_endpoint(
            parameters["VpcId"],
            parameters["ServiceName"],
            GATEWAY,
            parameters.get("PolicyDocument"),
            parameters.get("RouteTableIds", []),
        )
        del self.vpc_end_points[made.id]
        endpoint = VpcEndpoint(
            region=self.region_name,
            account_id=self.account_id,
            vpc_id=made.vpc_id,
            service_name=made.service_name,
            vpc_endpoint_type=GATEWAY,
            policy_document=made.policy_document,
            route_table_ids=made.route_table_ids,
            prefix_list_id=made.destination_prefix_list_id,
            id=made.id,
            progress=Progress("available", "available"),
        )
        self._register(endpoint, tags)
        return endpoint

    def _create_interface_endpoint(
        self, vpc: VPC, service: dict[str, Any], parameters: Parameters, tags: dict[str, str]
    ) -> VpcEndpoint:
        if parameters.get("IpAddressType", "ipv4") != "ipv4":
            raise UnsupportedOperationError(f"The lab has IpAddressType ipv4 only; got {parameters['IpAddressType']}")
        addresses = {item["SubnetId"]: item.get("Ipv4") for item in parameters.get("SubnetConfigurations", [])}
        subnet_ids = list(dict.fromkeys([*parameters.get("SubnetIds", []), *addresses]))
        self._check_subnets(vpc.id, service, subnet_ids, taken_zones=[])
        group_ids = list(parameters.get("SecurityGroupIds", []))
        self._check_endpoint_groups(vpc.id, group_ids)
        names = [item["PrivateDnsName"] for item in service.get("PrivateDnsNames", [])]
        # The API's default is true; it cannot hold for a service that has no private name.
        private_dns = parameters.get("PrivateDnsEnabled", bool(names))
        self._check_private_dns(vpc, service, private_dns)
        self._check_policy(service, parameters.get("PolicyDocument"))

        endpoint = VpcEndpoint(
            region=self.region_name,
            account_id=self.account_id,
            vpc_id=vpc.id,
            service_name=service["ServiceName"],
            vpc_endpoint_type=INTERFACE,
            policy_document=parameters.get("PolicyDocument") or DEFAULT_POLICY,
            # "If you do not specify a security group, the default security group" (CreateVpcEndpoint,
            # SecurityGroupIds).
            security_group_ids=group_ids or [self.default_group_id(vpc.id)],
            private_dns_enabled=private_dns,
            base_dns_name=service["BaseEndpointDnsNames"][0],
            private_dns_names=names,
        )
        self._add_interfaces(endpoint, subnet_ids, addresses)
        self._register(endpoint, tags)
        return endpoint

    def _register(self, endpoint: VpcEndpoint, tags: dict[str, str]) -> None:
        self.vpc_endpoints[endpoint.id] = endpoint
        if tags:
            self.create_tags([endpoint.id], tags)

    def modify_endpoint(self, endpoint_id: str, parameters: Parameters) -> None:
        """Change an endpoint; everything is checked first.

        Args:
            endpoint_id: the endpoint.
            parameters: of ModifyVpcEndpoint; what is absent stays.
        """
        endpoint = self._live_vpc_endpoint(endpoint_id)
        if endpoint.vpc_endpoint_type == GATEWAY:
            raise UnsupportedOperationError("The lab does not change gateway endpoints; replace the endpoint")
        vpc, service = self.get_vpc(endpoint.vpc_id), self._service(endpoint.service_name)
        removed = [subnet_id for subnet_id in parameters.get("RemoveSubnetIds", []) if subnet_id in endpoint.interfaces]
        added = [subnet_id for subnet_id in parameters.get("AddSubnetIds", []) if subnet_id not in endpoint.interfaces]
        staying = [subnet_id for subnet_id in endpoint.interfaces if subnet_id not in removed]
        zones = [self.get_subnet(subnet_id).availability_zone for subnet_id in staying]
        self._check_subnets(vpc.id, service, added, taken_zones=zones)
        group_ids = [
            group_id
            for group_id in dict.fromkeys([*endpoint.security_group_ids, *parameters.get("AddSecurityGroupIds", [])])
            if group_id not in parameters.get("RemoveSecurityGroupIds", [])
        ]
        self._check_endpoint_groups(vpc.id, group_ids)
        if not group_ids:
            raise InvalidParameterError(f"{endpoint_id} has to keep at least one security group")
        private_dns = parameters.get("PrivateDnsEnabled", endpoint.private_dns_enabled)
        self._check_private_dns(vpc, service, private_dns)
        policy = parameters.get("PolicyDocument")
        reset = parameters.get("ResetPolicy", False)
        if policy and reset:
            raise InvalidParameterCombinationError("PolicyDocument and ResetPolicy exclude each other")
        self._check_policy(service, policy)

        if policy or reset:
            endpoint.policy_document = policy or DEFAULT_POLICY
        endpoint.private_dns_enabled = private_dns
        endpoint.security_group_ids = group_ids
        for subnet_id in removed:
            self.delete_service_interface(endpoint.interfaces.pop(subnet_id).id)
        self._add_interfaces(endpoint, added, {})
        for interface in endpoint.interfaces.values():
            self.modify_network_interface_attribute(interface.id, group_ids)

    def delete_endpoints(self, endpoint_ids: list[str]) -> list[dict[str, Any]]:
        """Delete endpoints: their network interfaces go at once, they themselves after they were seen.

        Returns:
            Items of Unsuccessful, for those that do not exist.
        """
        self._forget_deleted_endpoints_of_vpc()
        unsuccessful = []
        for endpoint_id in endpoint_ids:
            endpoint = self.vpc_endpoints.get(endpoint_id)
            if endpoint is None:
                message = f"The Vpc Endpoint Id '{endpoint_id}' does not exist"
                error = {"Code": "InvalidVpcEndpoint.NotFound", "Message": message}
                unsuccessful.append({"ResourceId": endpoint_id, "Error": error})
            elif not endpoint.progress.ends:
                endpoint.progress = Progress("deleting", None)
                for interface in endpoint.interfaces.values():
                    self.delete_service_interface(interface.id)
                if endpoint.prefix_list_id:
                    for route_table_id in endpoint.route_table_ids:
                        self.delete_route(route_table_id, endpoint.prefix_list_id)
        return unsuccessful

    def list_endpoints(self, endpoint_ids: list[str]) -> list[VpcEndpoint]:
        """Return these endpoints, or all of them, oldest first."""
        self._forget_deleted_endpoints_of_vpc()
        for endpoint_id in endpoint_ids:
            if endpoint_id not in self.vpc_endpoints:
                raise InvalidVpcEndPointIdError(endpoint_id)
        return [one for one in self.vpc_endpoints.values() if not endpoint_ids or one.id in endpoint_ids]

    def live_endpoints(self) -> list[VpcEndpoint]:
        """Return the endpoints that are not on their way out."""
        return [endpoint for endpoint in self.vpc_endpoints.values() if not endpoint.progress.ends]

    def describe_endpoint(self, endpoint: VpcEndpoint, state: str) -> dict[str, Any]:
        """Return the item that DescribeVpcEndpoints gives, with this state."""
        names = {group.id: group.name for group in self.groups.get(endpoint.vpc_id, {}).values()}
        return endpoint.to_dict(state, names, self.tag_items(endpoint.id))

    def _live_vpc_endpoint(self, endpoint_id: str) -> VpcEndpoint:
        endpoint = self.list_endpoints([endpoint_id])[0]
        if endpoint.progress.ends:
            raise InvalidVpcEndPointIdError(endpoint_id)
        return endpoint

    def _forget_deleted_endpoints_of_vpc(self) -> None:
        for endpoint in [one for one in self.vpc_endpoints.values() if one.progress.gone]:
            del self.vpc_endpoints[endpoint.id]
            self.tags.pop(endpoint.id, None)

    def _service(self, name: str) -> dict[str, Any]:
        return self.list_endpoint_services([name], {})[0]

    def _check_subnets(
        self, vpc_id: str, service: dict[str, Any], subnet_ids: list[str], *, taken_zones: list[str]
    ) -> None:
        zones = list(taken_zones)
        for subnet_id in subnet_ids:
            subnet = self.get_subnet(subnet_id)
            if subnet.vpc_id != vpc_id:
                raise InvalidParameterError(f"Subnet {subnet_id} does not belong to {vpc_id}")
            if subnet.availability_zone in zones:
                raise DuplicateSubnetsInSameZoneError(subnet_id)
            zones.append(subnet.availability_zone)
            if subnet.availability_zone not in service["AvailabilityZones"]:
                # Text as quoted in reports of aws/aws-cdk and hashicorp/terraform-provider-aws.
                raise InvalidParameterError(
                    f"The VPC endpoint service {service['ServiceName']} does not support the availability zone "
                    f"of the subnet: "
                    f"{subnet_id}."
                )

    def _check_endpoint_groups(self, vpc_id: str, group_ids: list[str]) -> None:
        for group_id in group_ids:
            group = self.get_security_group_from_id(group_id)
            if group is None:
                raise SecurityGroupNotFoundError(group_id)
            if group.vpc_id != vpc_id:
                raise InvalidParameterError(f"Security group {group_id} does not belong to {vpc_id}")

    def _check_private_dns(self, vpc: VPC, service: dict[str, Any], enabled: bool) -> None:
        if not enabled:
            return
        if not service.get("PrivateDnsNames"):
            # Text as quoted in reports of hashicorp/terraform-provider-aws.
            raise InvalidParameterError(
                f"Private DNS can't be enabled because the service {service['ServiceName']} does not provide a "
                f"private DNS name."
            )
        if not (vpc.enable_dns_support and vpc.enable_dns_hostnames):
            # Text as quoted in reports of hashicorp/terraform-provider-aws.
            raise InvalidParameterError(
                "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set "
                "to true for "
                f"{vpc.id}"
            )

    def _check_policy(self, service: dict[str, Any], policy: str | None) -> None:
        if not policy:
            return
        if not service["VpcEndpointPolicySupported"]:
            raise InvalidParameterError(f"The service {service['ServiceName']} does not support endpoint policies")
        try:
            json.loads(policy)
        except ValueError as error:
            raise InvalidParameterError(f"PolicyDocument is not JSON: {error}") from error

    def _add_interfaces(self, endpoint: VpcEndpoint, subnet_ids: list[str], addresses: dict[str, str | None]) -> None:
        for subnet_id in subnet_ids:
            interface = self.create_service_interface(
                self.get_subnet(subnet_id),
                endpoint.security_group_ids,
                description=f"VPC Endpoint Interface {endpoint.id}",
                interface_type="vpc_endpoint",
                address=addresses.get(subnet_id),
            )
            endpoint.interfaces[subnet_id] = EndpointInterface(interface.id, interface.availability_zone)


def _passes(service: dict[str, Any], name: str, values: list[str]) -> bool:
    if name == "service-name":
        return service["ServiceName"] in values
    if name == "service-type":
        return any(item["ServiceType"] in values for item in service["ServiceType"])
    if name == "owner":
        return service["Owner"] in values
    if name == "tag-key":
        return any(tag["Key"] in values for tag in service["Tags"])
    if name.startswith("tag:"):
        return any(tag["Key"] == name[4:] and tag["Value"] in values for tag in service["Tags"])
    raise InvalidFilterError(name)
