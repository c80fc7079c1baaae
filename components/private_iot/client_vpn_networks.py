"""What the clients of a Client VPN endpoint reach: associated subnets, authorization rules and routes."""

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_aws as aws

from private_iot.deployed import ASSOCIATION, SUBNET, deployed_resources


class ReachedNetworks:
    """An endpoint's associations, keyed by their zones, and what is built on them."""

    def __init__(
        self,
        name: str,
        endpoint_id: pulumi.Input[str],
        subnet_ids: Mapping[str, pulumi.Input[str]],
        parent: pulumi.Resource,
    ) -> None:
        """Associate the subnets; each association brings the VPC's route itself.

        An endpoint takes one association a zone (DuplicateAz): one that moves to another subnet goes before it comes.

        Args:
            name: The first part of every resource's name.
            endpoint_id: The Client VPN endpoint.
            subnet_ids: Zone → subnet.
            parent: The component that they belong to.
        """
        self._prefix = f"{name}-clientvpn"
        self._endpoint_id = endpoint_id
        self._subnet_ids = subnet_ids
        self._parent = parent
        numbered = _numbered_associations(f"{self._prefix}-association-", [*subnet_ids])
        self.associations = {
            zone: aws.ec2clientvpn.NetworkAssociation(
                f"{self._prefix}-association-{zone}",
                client_vpn_endpoint_id=endpoint_id,
                subnet_id=subnet_id,
                opts=pulumi.ResourceOptions(
                    parent=parent, delete_before_replace=True, aliases=[pulumi.Alias(name=numbered[zone])]
                ),
            )
            for zone, subnet_id in subnet_ids.items()
        }

    def authorize(self, vpc_cidr_block: pulumi.Input[str], further: Sequence[str]) -> None:
        """Let every client reach the VPC and the further networks, once the subnets are associated.

        The order is that of AWS's own guide ("Get started with AWS Client VPN"); rules that stay `authorizing` until
        the provider gives up are a known complaint (terraform-provider-aws #16890).
        """
        networks = {"": (vpc_cidr_block, "the VPC"), **{f"-{block}": (block, block) for block in further}}
        for suffix, (block, description) in networks.items():
            aws.ec2clientvpn.AuthorizationRule(
                f"{self._prefix}-authorization{suffix}",
                client_vpn_endpoint_id=self._endpoint_id,
                target_network_cidr=block,
                authorize_all_groups=True,
                description=f"Every device may reach {description}",
                opts=pulumi.ResourceOptions(parent=self._parent, depends_on=[*self.associations.values()]),
            )

    def route(self, further: Sequence[str]) -> None:
        """Lead the clients to the further networks through every zone; an association brings the VPC's route alone."""
        for block in further:
            for zone, subnet_id in self._subnet_ids.items():
                aws.ec2clientvpn.Route(
                    f"{self._prefix}-route-{block}-{zone}",
                    client_vpn_endpoint_id=self._endpoint_id,
                    destination_cidr_block=block,
                    target_vpc_subnet_id=subnet_id,
                    description=f"{block} through {zone}",
                    opts=pulumi.ResourceOptions(parent=self._parent, depends_on=[self.associations[zone]]),
                )


def _numbered_associations(prefix: str, zones: list[str]) -> dict[str, str]:
    """Zone → the name that an earlier release gave its association, which it knew by its number."""
    numbered = {zone: f"{prefix}{number}" for number, zone in enumerate(zones, 1)}
    deployed = deployed_resources(ASSOCIATION, SUBNET)
    zone_of = {
        str(one.outputs["arn"]).rsplit("/", 1)[-1]: one.outputs["availabilityZone"]
        for one in deployed
        if one.type == SUBNET
    }
    for one in deployed:
        if one.type == ASSOCIATION and one.name.startswith(prefix):
            zone = zone_of.get(one.outputs["subnetId"])
            if zone in numbered:
                numbered[zone] = one.name
    return numbered
