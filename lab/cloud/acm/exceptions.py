"""ACM's errors that moto lacks (ACM API reference, "Errors" of each action)."""

from moto.acm.exceptions import AWSValidationException
from moto.core.exceptions import AWSError


class ValidationError(AWSValidationException):
    """A certificate, key or chain that ACM does not take."""


class ResourceInUseError(AWSError):
    """Another resource uses the certificate."""

    TYPE = "ResourceInUseException"

    def __init__(self, arn: str) -> None:
        super().__init__(f"Certificate {arn} is in use.")
