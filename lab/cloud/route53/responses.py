"""Route 53's wire format where moto's differs from AWS."""

from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.route53 import responses as moto


class Route53Response(moto.Route53):
    def create_hosted_zone(self) -> ActionResult:
        """Answer CreateHostedZone; a request with a VPC is for a private zone, whether or not it says so too.

        moto looks at ``HostedZoneConfig.PrivateZone`` alone, which the Terraform provider does not send
        (internal/service/route53/zone.go).
        """
        name = self._get_param("Name")
        vpc_id, vpc_region = self._get_param("VPC.VPCId"), self._get_param("VPC.VPCRegion")
        private = bool(vpc_id) or self._get_bool_param("HostedZoneConfig.PrivateZone", False)
        zone = self.backend.create_hosted_zone(
            name if name.endswith(".") else f"{name}.",
            comment=self._get_param("HostedZoneConfig.Comment"),
            private_zone=private,
            caller_reference=self._get_param("CallerReference"),
            vpcid=vpc_id,
            vpcregion=vpc_region,
            delegation_set_id=self._get_param("DelegationSetId"),
        )
        return ActionResult(
            {
                "HostedZone": zone,
                "ChangeInfo": {"Id": f"/change/C{zone.resource_id[1:]}", "Status": "INSYNC", "SubmittedAt": utcnow()},
                "DelegationSet": None if private else zone.delegation_set,
                "VPC": zone.vpcs[0] if private else None,
                "Location": f"https://route53.amazonaws.com/2013-04-01/hostedzone/{zone.resource_id}",
            }
        )
