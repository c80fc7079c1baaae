"""The endpoint services of AWS IoT, which moto has otherwise.

IOT is docs.aws.amazon.com/iot/latest/developerguide/IoTCore-VPC.html.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

ZONES_WITHOUT_IOT = {"ap-northeast-1": ("ap-northeast-1d",)}
"""Zones that do not offer the data plane. "Not every Availability Zone supports" it (IOT); which ones is known of
the walk-through's Region alone, by its author's report. In other Regions the lab offers every zone."""
HOSTED_ZONES = {"ap-northeast-1": "Z2E726K9Y6RL4W", "us-east-1": "Z7HUB22UULQXV"}
"""Hosted zones of the names of interface endpoints, by Region; for another the lab makes one up of the same shape."""


@dataclass(frozen=True)
class IotService:
    """An endpoint service of AWS IoT.

    Attributes:
        suffix: of the service's name, ``com.amazonaws.REGION.SUFFIX``.
        dns_prefix: of the names of its endpoints, ``vpce-….PREFIX.REGION.vpce.amazonaws.com``.
        private_dns_prefix: of the name that private DNS would serve; None where AWS does not offer private DNS.
    """

    suffix: str
    dns_prefix: str
    private_dns_prefix: str | None


IOT_SERVICES = (
    # IOT: "Private DNS is not supported" for the data plane and the credential provider, and endpoint policies are
    # not either.
    IotService("iot.data", "data.iot", None),
    IotService("iot.credentials", "credentials.iot", None),
    IotService("iot.api", "api.iot", "iot"),
)


def iot_endpoint_services(region: str, zones: list[str]) -> list[dict[str, Any]]:
    """Describe the endpoint services of AWS IoT in a Region.

    Args:
        region: its name.
        zones: its zones.

    Returns:
        Items of ServiceDetails, as DescribeVpcEndpointServices gives them.
    """
    offered = [zone for zone in zones if zone not in ZONES_WITHOUT_IOT.get(region, ())]
    services = []
    for service in IOT_SERVICES:
        details: dict[str, Any] = {
            "ServiceName": f"com.amazonaws.{region}.{service.suffix}",
            "ServiceId": f"vpce-svc-{_hexadecimal(f'{region}/{service.suffix}')}",
            "ServiceRegion": region,
            "ServiceType": [{"ServiceType": "Interface"}],
            "AvailabilityZones": offered,
            "Owner": "amazon",
            "BaseEndpointDnsNames": [f"{service.dns_prefix}.{region}.vpce.amazonaws.com"],
            "VpcEndpointPolicySupported": service.private_dns_prefix is not None,
            "AcceptanceRequired": False,
            "ManagesVpcEndpoints": False,
            "SupportedIpAddressTypes": ["ipv4"],
            "Tags": [],
        }
        if service.private_dns_prefix is not None:
            name = f"{service.private_dns_prefix}.{region}.amazonaws.com"
            details["PrivateDnsName"] = name
            details["PrivateDnsNames"] = [{"PrivateDnsName": name}]
            details["PrivateDnsNameVerificationState"] = "verified"
        services.append(details)
    return services


def endpoint_hosted_zone_id(region: str) -> str:
    """Return the hosted zone that holds the names of a Region's interface endpoints."""
    return HOSTED_ZONES.get(region) or "Z" + _hexadecimal(f"{region}/vpce", 13).upper()


def _hexadecimal(seed: str, length: int = 17) -> str:
    return hashlib.sha256(seed.encode()).hexdigest()[:length]
