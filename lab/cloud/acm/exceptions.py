"""ACM's errors that moto lacks (ACM API reference, "Errors" of each action)."""

from moto.acm.exceptions import AWSValidationException as ValidationException
from moto.core.exceptions import AWSError

__all__ = ["ResourceInUseException", "ValidationException"]


class ResourceInUseException(AWSError):
    """Another resource uses the certificate."""

    TYPE = "ResourceInUseException"

    def __init__(self, arn: str) -> None:
        super().__init__(f"Certificate {arn} is in use.")
