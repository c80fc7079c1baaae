"""Network interfaces with addresses that AWS would give, and those that AWS's services make for themselves."""

from typing import Any

from moto.ec2.models import EC2Backend as MotoEC2Backend
from moto.ec2.models.elastic_network_interfaces import NetworkInterface

from lab.cloud.ec2.exceptions import (
    AddressInUseError,
    InsufficientFreeAddressesError,
    InvalidParameterValueError,
    OperationNotPermittedError,
)
from lab.cloud.ec2.models.addresses import free_address, is_usable

AMAZON = "amazon-aws"


class NetworkInterfaceBackend(MotoEC2Backend):
    """A part of the EC2 backend. moto's takes any address: a reserved one, another interface's, none of the subnet."""

    def create_network_interface(  # noqa: PLR0917 - moto's signature
        self,
        subnet: Any,
        private_ip_address: str | list[str] | None,
        private_ip_addresses: list[dict[str, Any]] | None = None,
        group_ids: list[str] | None = None,
        description: str | None = None,
        tags: dict[str, str] | None = None,
        delete_on_termination: bool | None = False,
        **kwargs: Any,
    ) -> NetworkInterface:
        """Create an interface whose address is the one asked for or a free one of the subnet."""
        if isinstance(subnet, str):
            subnet = self.get_subnet(subnet)
        if isinstance(private_ip_address, str) and private_ip_address:
            self._check_address(subnet, private_ip_address)
        elif not private_ip_address and not private_ip_addresses:
            private_ip_address = self._free_address(subnet)
        return super().create_network_interface(
            subnet,
            private_ip_address,  # type: ignore[arg-type] # moto takes None too
            private_ip_addresses,
            group_ids,
            description,
            tags,
            delete_on_termination,
            **kwargs,
        )

    def create_service_interface(
        self,
        subnet: Any,
        group_ids: list[str],
        *,
        description: str,
        interface_type: str = "interface",
        address: str | None = None,
    ) -> NetworkInterface:
        """Create an interface of one of AWS's services: in use, and not for callers to delete.

        Args:
            subnet: where.
            group_ids: security groups of the subnet's VPC.
            description: what DescribeNetworkInterfaces shows.
            interface_type: ``interface`` or ``vpc_endpoint``.
            address: IPv4 address; a free one by default.

        Returns:
            The interface.
        """
        interface = self.create_network_interface(subnet, address, group_ids=group_ids, description=description)
        interface.requester_managed = True
        interface.interface_type = interface_type
        interface.status = "in-use"
        return interface

    def delete_service_interface(self, interface_id: str) -> None:
        """Delete an interface of one of AWS's services; one that is gone already is no error."""
        if self.enis.pop(interface_id, None) is not None:
            self.tags.pop(interface_id, None)

    def delete_network_interface(self, eni_id: str) -> None:
        """Delete a caller's interface."""
        if self.get_network_interface(eni_id).requester_managed:
            raise OperationNotPermittedError(f"Network interface {eni_id} is managed by the service that made it")
        super().delete_network_interface(eni_id)
        self.tags.pop(eni_id, None)

    def default_group_id(self, vpc_id: str) -> str:
        group = self.get_default_security_group(vpc_id)
        if group is None:
            raise LookupError(f"{vpc_id} has no default security group")
        return group.id

    def tag_items(self, resource_id: str) -> list[dict[str, str]]:
        """Return a resource's tags as a list of Key and Value."""
        return [{"Key": key, "Value": value} for key, value in self.tags.get(resource_id, {}).items()]

    def _addresses(self, subnet: Any) -> set[str]:
        return {
            address["PrivateIpAddress"]
            for interface in self.enis.values()
            if interface.subnet.id == subnet.id
            for address in interface.private_ip_addresses
        }

    def _free_address(self, subnet: Any) -> str:
        taken = self._addresses(subnet)
        address = free_address(subnet.cidr_block, taken, seed=f"{subnet.id}/{len(self.enis)}")
        if address is None:
            raise InsufficientFreeAddressesError(subnet.id)
        return address

    def _check_address(self, subnet: Any, address: str) -> None:
        try:
            usable = is_usable(address, subnet.cidr_block)
        except ValueError as error:
            raise InvalidParameterValueError(
                f"Value ({address}) for parameter privateIpAddress is invalid. {error}"
            ) from error
        if not usable:
            raise InvalidParameterValueError(
                f"Address {address} does not fall within the subnet's address range {subnet.cidr_block}, or is reserved"
            )
        if address in self._addresses(subnet):
            raise AddressInUseError(address)
