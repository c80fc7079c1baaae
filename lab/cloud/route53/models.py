"""Route 53's state where moto's differs from AWS."""

from typing import Any

from moto.ec2.models import ec2_backends
from moto.route53 import models as moto

from lab.cloud.route53.exceptions import (
    ConflictingDomainExistsError,
    HostedZoneAlreadyExistsError,
    InvalidChangeBatchError,
    InvalidInputError,
    InvalidVpcIdError,
)
from lab.cloud.route53.records import Change, changed_records

VPC_ENDPOINT_NAMES = ".vpce.amazonaws.com."


class Route53Backend(moto.Route53Backend):
    """Route 53 of one account."""

    def create_hosted_zone(  # noqa: PLR0917 - moto's signature
        self,
        name: str,
        private_zone: bool,
        caller_reference: str | None = None,
        vpcid: str | None = None,
        vpcregion: str | None = None,
        comment: str | None = None,
        delegation_set_id: str | None = None,
    ) -> moto.FakeZone:
        """Create a zone; one with a VPC is private."""
        if private_zone and not (vpcid and vpcregion):
            # CreateHostedZone, PrivateZone: "If you specify true, you must also specify values for VPCId and
            # VPCRegion."
            raise InvalidInputError("A private hosted zone needs a VPC: VPCId and VPCRegion")
        for zone in self.zones.values():
            if caller_reference is not None and zone.caller_reference == caller_reference:
                raise HostedZoneAlreadyExistsError(caller_reference)
        if vpcid and vpcregion:
            self._check_vpc(name.lower(), vpcid, vpcregion)
        return super().create_hosted_zone(
            name.lower(), private_zone, caller_reference, vpcid, vpcregion, comment, delegation_set_id
        )

    def associate_vpc_with_hosted_zone(self, zone_id: str, vpcid: str, vpcregion: str) -> moto.FakeZone:
        """Let another VPC resolve a private zone."""
        zone = self.get_hosted_zone(zone_id)
        if zone.private_zone:
            self._check_vpc(zone.name, vpcid, vpcregion)
        return super().associate_vpc_with_hosted_zone(zone_id, vpcid, vpcregion)

    def _check_vpc(self, name: str, vpc_id: str, region: str) -> None:
        regions = ec2_backends[self.account_id]
        # Asking for a Region's backend makes one, with a default VPC: a Region that nobody used has no VPC that a
        # caller knows.
        if region not in list(regions) or vpc_id not in regions[region].vpcs:
            raise InvalidVpcIdError(vpc_id, region)
        for zone in self.zones.values():
            if zone.name == name and any(vpc["vpc_id"] == vpc_id for vpc in zone.vpcs):
                raise ConflictingDomainExistsError(vpc_id, region, zone.resource_id)

    def change_resource_record_sets(self, zoneid: str, change_list: list[Change]) -> None:
        """Apply a batch of changes, all or none of them."""
        zone = self.get_hosted_zone(zoneid)
        zone.rrsets = changed_records(zone.name, zone.rrsets, change_list, self._check_alias)

    def _check_alias(self, kind: str, target: dict[str, Any]) -> None:
        """Refuse an alias to a VPC endpoint's name that no endpoint has; other targets are not looked up."""
        name, zone_id = target["DNSName"], target["HostedZoneId"]
        if not name.endswith(VPC_ENDPOINT_NAMES):
            return
        alias = f"Tried to create an alias that targets {name}, type {kind} in zone {zone_id}"
        for region_backend in list(ec2_backends[self.account_id].values()):
            backend: Any = region_backend
            for endpoint in backend.live_endpoints():
                for entry in endpoint.dns_entries():
                    if f"{entry['DnsName']}." == name:
                        if entry["HostedZoneId"] != zone_id:
                            raise InvalidChangeBatchError(
                                f"{alias}, but the alias target name does not lie within the target zone"
                            )
                        return
        raise InvalidChangeBatchError(f"{alias}, but that target was not found")

    def delete_hosted_zone(self, id_: str) -> moto.FakeZone | None:
        """Delete a zone that has no records but its own, and its tags."""
        zone = super().delete_hosted_zone(id_)
        if zone is not None:
            self.resource_tags.pop(zone.resource_id, None)
        return zone
