"""Route 53's errors that moto lacks.

Texts that were seen in public reports are marked *seen*; the others are the lab's own words.
"""

from moto.route53.exceptions import Route53ClientError


class InvalidInputError(Route53ClientError):
    """A parameter does not fit the others."""

    code = "InvalidInput"


class InvalidVpcIdError(Route53ClientError):
    def __init__(self, vpc_id: str, region: str) -> None:
        super().__init__("InvalidVPCId", f"The VPC: {vpc_id} in region {region} that you provided does not exist.")


class HostedZoneAlreadyExistsError(Route53ClientError):
    """The caller's reference is used up (*seen*)."""

    def __init__(self, caller_reference: str) -> None:
        super().__init__(
            "HostedZoneAlreadyExists",
            f"A hosted zone has already been created with the specified caller reference {caller_reference}.",
        )


class ConflictingDomainExistsError(Route53ClientError):
    """The VPC has another private zone of that name (*seen*)."""

    def __init__(self, vpc_id: str, region: str, zone_id: str) -> None:
        super().__init__(
            "ConflictingDomainExists",
            f"The VPC {vpc_id} in region {region} has already been associated with the hosted zone {zone_id} "
            f"with the same domain name.",
        )


class InvalidChangeBatchError(Route53ClientError):
    """A change that cannot be made, so that none of the batch is (*seen*)."""

    def __init__(self, reason: str) -> None:
        super().__init__("InvalidChangeBatch", f"[{reason}]")
