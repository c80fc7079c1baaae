"""DNS Firewall's errors that moto lacks (Route 53 Resolver API reference, "Errors" of each action)."""

from moto.core.exceptions import JsonRESTError


class ConflictError(JsonRESTError):
    """The request does not fit the state of the resource."""

    def __init__(self, message: str) -> None:
        super().__init__("ConflictException", message)


class ValidationError(JsonRESTError):
    """A value that the operation does not take."""

    def __init__(self, message: str) -> None:
        super().__init__("ValidationException", message)
