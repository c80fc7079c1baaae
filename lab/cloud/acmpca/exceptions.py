"""AWS Private CA's errors that moto lacks (AWS Private CA API reference, "Errors" of each action)."""

from moto.core.exceptions import JsonRESTError


class ValidationError(JsonRESTError):
    """A parameter that the service does not take."""

    def __init__(self, message: str) -> None:
        super().__init__("ValidationException", message)


class InvalidArgsError(JsonRESTError):
    """Parameters that do not go together."""

    def __init__(self, message: str) -> None:
        super().__init__("InvalidArgsException", message)


class MalformedCertificateError(JsonRESTError):
    """A certificate that is not that of the authority's key."""

    def __init__(self, message: str) -> None:
        super().__init__("MalformedCertificateException", message)


class MalformedCsrError(JsonRESTError):
    """A certificate request that is none, or whose signature is wrong."""

    def __init__(self) -> None:
        super().__init__("MalformedCSRException", "The certificate signing request is invalid.")


class InvalidStateError(JsonRESTError):
    """The authority's state does not allow the call."""

    def __init__(self, arn: str, status: str) -> None:
        super().__init__("InvalidStateException", f"The certificate authority {arn} is in the state {status}.")


class PermissionAlreadyExistsError(JsonRESTError):
    """The principal already has a permission."""

    def __init__(self, principal: str) -> None:
        super().__init__("PermissionAlreadyExistsException", f"{principal} already has a permission on the authority.")
