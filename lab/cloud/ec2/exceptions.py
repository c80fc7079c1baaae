"""EC2's errors that moto lacks.

Codes: "Error codes for the Amazon EC2 API" (EC2 API reference). Texts that were seen in public reports are marked
*seen*; the others are the lab's own words.
"""

from collections.abc import Iterable

from moto.ec2.exceptions import EC2ClientError


class InvalidParameterValueError(EC2ClientError):
    """A value is outside what the parameter takes."""

    code = "InvalidParameterValue"


class InvalidParameterError(EC2ClientError):
    """A parameter does not fit the others or the state."""

    code = "InvalidParameter"


class InvalidParameterCombinationError(EC2ClientError):
    """Parameters that exclude each other."""

    code = "InvalidParameterCombination"


class MissingParameterError(EC2ClientError):
    """A parameter that the others make necessary."""

    code = "MissingParameter"


class UnsupportedOperationError(EC2ClientError):
    """AWS has it, the lab does not."""

    code = "UnsupportedOperation"


class OperationNotPermittedError(EC2ClientError):
    """AWS keeps the operation to itself."""

    code = "OperationNotPermitted"


class DependencyViolationError(EC2ClientError):
    """Something still uses the resource."""

    code = "DependencyViolation"


class IdempotentParameterMismatchError(EC2ClientError):
    """A client token is used again with other parameters."""

    code = "IdempotentParameterMismatch"
    message = "The request uses the same client token as a previous, but non-identical request."


class InvalidNextTokenError(EC2ClientError):
    """A token for the next page that no answer gave."""

    code = "InvalidNextToken"
    message = "The specified value for nextToken is not valid."


class InvalidFilterError(EC2ClientError):
    """A filter that the operation does not know (*seen*)."""

    def __init__(self, name: str) -> None:
        super().__init__("InvalidParameterValue", f"The filter '{name}' is invalid")


class SecurityGroupNotFoundError(EC2ClientError):
    """No such group (*seen*)."""

    def __init__(self, group_id: str) -> None:
        super().__init__("InvalidGroup.NotFound", f"The security group '{group_id}' does not exist")


class SubnetNotFoundError(EC2ClientError):
    """No such subnet (*seen*)."""

    def __init__(self, subnet_id: str) -> None:
        super().__init__("InvalidSubnetID.NotFound", f"The subnet ID '{subnet_id}' does not exist")


class InsufficientFreeAddressesError(EC2ClientError):
    """A subnet is full (*seen*)."""

    def __init__(self, subnet_id: str) -> None:
        super().__init__(
            "InsufficientFreeAddressesInSubnet",
            f"There are not enough free addresses in subnet '{subnet_id}' to satisfy the requested number of "
            f"instances.",
        )


class AddressInUseError(EC2ClientError):
    """An address that another network interface has (*seen*)."""

    def __init__(self, address: str) -> None:
        super().__init__("InvalidIPAddress.InUse", f"Address {address} is in use.")


class ClientVpnEndpointNotFoundError(EC2ClientError):
    """No such Client VPN endpoint (*seen*)."""

    def __init__(self, endpoint_id: str) -> None:
        super().__init__("InvalidClientVpnEndpointId.NotFound", f"Endpoint {endpoint_id} does not exist")


class ClientVpnEndpointLimitExceededError(EC2ClientError):
    """The Region's quota of endpoints."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            "ClientVpnEndpointLimitExceeded",
            f"The account has the maximum of {limit} Client VPN endpoints in this Region",
        )


class ClientVpnEndpointAssociationExistsError(EC2ClientError):
    """Target networks are still associated (*seen*)."""

    def __init__(self, association_ids: Iterable[str]) -> None:
        super().__init__(
            "ClientVpnEndpointAssociationExists",
            f"The endpoint that you're trying to delete has associations {', '.join(association_ids)}",
        )


class ClientVpnAssociationNotFoundError(EC2ClientError):
    def __init__(self, association_id: str) -> None:
        super().__init__("InvalidClientVpnAssociationIdNotFound", f"Association {association_id} does not exist")


class ClientVpnDuplicateAssociationError(EC2ClientError):
    """The subnet is already associated."""

    def __init__(self, subnet_id: str, endpoint_id: str) -> None:
        super().__init__(
            "InvalidClientVpnDuplicateAssociationException",
            f"Subnet {subnet_id} is already associated with {endpoint_id}",
        )


class ClientVpnSubnetDuplicateZoneError(EC2ClientError):
    """Another subnet of the zone is already associated."""

    def __init__(self, subnet_id: str, zone: str) -> None:
        super().__init__(
            "InvalidClientVpnSubnetId.DuplicateAz",
            f"Subnet {subnet_id} is in {zone}, from which a subnet is already associated; one association a "
            f"zone is the limit",
        )


class ClientVpnSubnetNotFoundError(EC2ClientError):
    """The subnet is not in the endpoint's VPC."""

    def __init__(self, subnet_id: str, vpc_id: str) -> None:
        super().__init__(
            "InvalidClientVpnSubnetId.NotFound", f"Subnet {subnet_id} is not in {vpc_id}, the endpoint's VPC"
        )


class ClientVpnSubnetOverlappingCidrError(EC2ClientError):
    """The VPC overlaps the client CIDR."""

    def __init__(self, subnet_id: str, vpc_cidr: str, client_cidr: str) -> None:
        super().__init__(
            "InvalidClientVpnSubnetId.OverlappingCidr",
            f"Subnet {subnet_id} is in a VPC with {vpc_cidr}, which overlaps the client CIDR {client_cidr}",
        )


class ClientVpnAuthorizationRuleNotFoundError(EC2ClientError):
    def __init__(self, cidr: str) -> None:
        super().__init__(
            "InvalidClientVpnEndpointAuthorizationRuleNotFound", f"There is no such authorization rule for {cidr}"
        )


class ClientVpnDuplicateAuthorizationRuleError(EC2ClientError):
    def __init__(self, cidr: str) -> None:
        super().__init__(
            "InvalidClientVpnDuplicateAuthorizationRule", f"The authorization rule for {cidr} already exists"
        )


class ClientVpnAuthorizationRuleLimitExceededError(EC2ClientError):
    """The endpoint's quota of rules."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            "ClientVpnAuthorizationRuleLimitExceeded", f"The endpoint has the maximum of {limit} authorization rules"
        )


class ClientVpnActiveAssociationNotFoundError(EC2ClientError):
    """The operation needs an association that the endpoint does not have."""

    def __init__(self, endpoint_id: str, subnet_id: str) -> None:
        super().__init__(
            "InvalidClientVpnActiveAssociationNotFound", f"{endpoint_id} has no active association with {subnet_id}"
        )


class ClientVpnRouteNotFoundError(EC2ClientError):
    def __init__(self, cidr: str, subnet_id: str) -> None:
        super().__init__("InvalidClientVpnRouteNotFound", f"There is no route to {cidr} through {subnet_id}")


class ClientVpnDuplicateRouteError(EC2ClientError):
    def __init__(self, cidr: str, subnet_id: str) -> None:
        super().__init__("InvalidClientVpnDuplicateRoute", f"A route to {cidr} through {subnet_id} already exists")


class ClientVpnRouteLimitExceededError(EC2ClientError):
    """The association's quota of routes."""

    def __init__(self, limit: int) -> None:
        super().__init__("ClientVpnRouteLimitExceeded", f"The target network has the maximum of {limit} routes")


class ClientVpnRevocationListLimitExceededError(EC2ClientError):
    """The list has too many entries."""

    def __init__(self, entries: int, limit: int) -> None:
        super().__init__(
            "ClientVpnCertificateRevocationListLimitExceeded", f"The list has {entries} entries; the limit is {limit}"
        )


class ClientVpnConnectionNotFoundError(EC2ClientError):
    def __init__(self, connection_id: str) -> None:
        super().__init__("InvalidClientVpnConnection.IdNotFound", f"Connection {connection_id} does not exist")


class ClientVpnConnectionUserNotFoundError(EC2ClientError):
    def __init__(self, username: str) -> None:
        super().__init__("InvalidClientVpnConnection.UserNotFound", f"{username} has no active connection")


class VpcEndpointServiceNotFoundError(EC2ClientError):
    """No such endpoint service (*seen*)."""

    def __init__(self, service_name: str) -> None:
        super().__init__("InvalidServiceName", f"The Vpc Endpoint Service '{service_name}' does not exist")


class DuplicateSubnetsInSameZoneError(EC2ClientError):
    """Two subnets of an interface endpoint in one zone (*seen*)."""

    def __init__(self, subnet_id: str) -> None:
        super().__init__(
            "DuplicateSubnetsInSameZone",
            f"Found another VPC endpoint subnet in the availability zone of {subnet_id}. VPC endpoint subnets "
            f"should be in "
            "different availability zones supported by the VPC endpoint service.",
        )


class CannotDeleteError(EC2ClientError):
    """A VPC's default group (*seen*)."""

    def __init__(self, group_id: str) -> None:
        super().__init__(
            "CannotDelete", f'the specified group: "{group_id}" name: "default" cannot be deleted by a user'
        )


class NetworksDifferError(EC2ClientError):
    """A rule names a group of another VPC (*seen*)."""

    code = "InvalidGroup.NotFound"
    message = "You have specified two resources that belong to different networks."


class ResourceAlreadyAssociatedError(EC2ClientError):
    """The subnet has another route table (*seen*)."""

    def __init__(self, route_table_id: str) -> None:
        super().__init__(
            "Resource.AlreadyAssociated",
            f"the specified association for route table {route_table_id} conflicts with an existing association",
        )
