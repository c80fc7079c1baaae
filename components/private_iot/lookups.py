"""What AWS is asked before anything is registered, so that a wrong argument is refused in time."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

IOT_DATA = "iot.data"
"""The interface endpoint service of MQTT and HTTPS publishing."""
IOT_CREDENTIALS = "iot.credentials"
"""The interface endpoint service of the credential provider."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the components are deployed: partition, Region and account."""

    partition: str
    region: str
    account_id: str


def invoke_options(opts: pulumi.ResourceOptions | None) -> pulumi.InvokeOptions:
    """Ask with the provider that the component's children will have.

    Args:
        opts: The component's options; they name a provider, several, or a parent that has one.

    Returns:
        Options for an invoke of the aws package.
    """
    if opts is None:
        return pulumi.InvokeOptions()
    several = opts.providers or []
    candidates = [
        *([opts.provider] if opts.provider else []),
        *(several.values() if isinstance(several, Mapping) else several),
    ]
    chosen = next((provider for provider in candidates if provider.package == "aws"), None)
    return pulumi.InvokeOptions(parent=opts.parent, provider=chosen)


def place(options: pulumi.InvokeOptions) -> Place:
    """Ask for the partition, the Region and the account.

    Args:
        options: How to ask.

    Returns:
        The place.
    """
    identity = aws.get_caller_identity(opts=options)
    return Place(
        partition=identity.arn.split(":")[1],
        region=aws.get_region(opts=options).region,
        account_id=identity.account_id,
    )


def service_name(region: str, service: str) -> str:
    """Name an interface endpoint service of a Region.

    Args:
        region: The Region.
        service: `iot.data` or `iot.credentials`.

    Returns:
        `com.amazonaws.REGION.SERVICE`.
    """
    return f"com.amazonaws.{region}.{service}"


def offered_zones(name: str, options: pulumi.InvokeOptions) -> list[str]:
    """Ask in which Availability Zones an interface endpoint service is offered.

    Args:
        name: The service's full name.
        options: How to ask.

    Returns:
        The zones' names, sorted.
    """
    service = aws.ec2.get_vpc_endpoint_service(service_name=name, opts=options)
    return sorted(service.availability_zones)


def iot_endpoint(endpoint_type: str, options: pulumi.InvokeOptions) -> str:
    """Ask for one of the account's AWS IoT endpoints.

    Args:
        endpoint_type: `iot:Data-ATS` or `iot:CredentialProvider`.
        options: How to ask.

    Returns:
        The address, a DNS name.
    """
    return aws.iot.get_endpoint(endpoint_type=endpoint_type, opts=options).endpoint_address
