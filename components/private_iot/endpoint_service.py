"""What AWS is asked before anything is registered: who calls, and where the interface endpoint services are offered."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from private_iot.errors import ArgumentError

IOT_DATA = "iot.data"
"""The interface endpoint service of MQTT and HTTPS publishing."""
IOT_CREDENTIALS = "iot.credentials"
"""The interface endpoint service of the credential provider."""
_REGIONAL_LABEL = re.compile(r"vpce-[0-9a-f]+-[0-9a-z]+")


@dataclass(frozen=True, slots=True)
class Caller:
    """Where and as whom the components are deployed."""

    partition: str
    region: str
    account_id: str


def invoke_options(opts: pulumi.ResourceOptions | None) -> pulumi.InvokeOptions:
    """Ask with the provider that the component's children will have."""
    if opts is None:
        return pulumi.InvokeOptions()
    several = opts.providers or []
    candidates = [
        *([opts.provider] if opts.provider else []),
        *(several.values() if isinstance(several, Mapping) else several),
    ]
    chosen = next((provider for provider in candidates if provider.package == "aws"), None)
    return pulumi.InvokeOptions(parent=opts.parent, provider=chosen)


def caller(options: pulumi.InvokeOptions) -> Caller:
    """Ask for the partition, the Region and the account.

    Raises:
        ArgumentError: In China. "VPC endpoints for IoT Core are currently not supported in AWS China Regions" (AWS IoT
            developer guide, "Using AWS IoT Core with interface VPC endpoints", when it last said anything of China),
            services and addresses have other names there, and nobody has seen the path at work.
    """
    identity = aws.get_caller_identity(opts=options)
    region = aws.get_region(opts=options).region
    partition = identity.arn.split(":")[1]
    if partition == "aws-cn":
        raise ArgumentError(
            "region",
            region,
            "AWS documents no VPC endpoints of AWS IoT Core for the China Regions",
            "choose a Region of another partition",
        )
    return Caller(partition, region, identity.account_id)


def service_name(region: str, service: str) -> str:
    """Name an interface endpoint service (`iot.data` or `iot.credentials`) of a Region."""
    return f"com.amazonaws.{region}.{service}"


def offered_zones(name: str, options: pulumi.InvokeOptions) -> list[str] | None:
    """Ask in which Availability Zones an interface endpoint service is offered.

    Returns:
        The zones' names, sorted; None where AWS does not tell: in GovCloud, DescribeVpcEndpointServices gives the
        names of the services without their details.
    """
    service = aws.ec2.get_vpc_endpoint_service(service_name=name, opts=options)
    return sorted(service.availability_zones or []) or None


def iot_endpoint(endpoint_type: str, options: pulumi.InvokeOptions) -> str:
    """Ask for one of the account's AWS IoT addresses: `iot:Data-ATS` or `iot:CredentialProvider`."""
    return aws.iot.get_endpoint(endpoint_type=endpoint_type, opts=options).endpoint_address


def regional_entry(entries: Iterable[tuple[str, str]]) -> tuple[str, str]:
    """Choose the regional DNS entry by its form.

    An interface endpoint has one regional name (`vpce-ID-HASH.data.iot.REGION.vpce.amazonaws.com`) and one a zone
    (`vpce-ID-HASH-ZONE.…`); no page of AWS promises their order (AWS PrivateLink guide, "DNS hostnames").

    Args:
        entries: Pairs of DNS name and hosted zone ID.

    Raises:
        ValueError: None has that form.
    """
    listed = list(entries)
    for name, zone_id in listed:
        if _REGIONAL_LABEL.fullmatch(name.split(".")[0]):
            return name, zone_id
    names = ", ".join(name for name, _ in listed) or "none at all"
    raise ValueError(f"the VPC endpoint has no regional DNS name vpce-ID-HASH.…: it has {names}")


def check_offered(argument: str, zones: Iterable[str], offered: Iterable[str], service: str) -> None:
    """Refuse zones that the endpoint service does not offer."""
    for zone in zones:
        if zone not in offered:
            raise ArgumentError(
                argument, zone, f"{service} is offered in {', '.join(offered)} only", "choose among those zones"
            )
