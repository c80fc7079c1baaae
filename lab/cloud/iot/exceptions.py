"""Errors of AWS IoT's control plane that moto lacks (AWS IoT API reference, "Errors" of each action)."""

from moto.iot.exceptions import IoTClientError


class MalformedPolicyError(IoTClientError):
    """The policy's document is not valid."""

    def __init__(self, reason: str) -> None:
        super().__init__("MalformedPolicyException", f"Policy document is Malformed: {reason}")


class LimitExceededError(IoTClientError):
    """A quota is used up."""

    def __init__(self, message: str) -> None:
        super().__init__("LimitExceededException", message)
        self.code = 410


class VersionsLimitExceededError(IoTClientError):
    """A policy or a provisioning template has all the versions that it may have."""

    def __init__(self, message: str) -> None:
        super().__init__("VersionsLimitExceededException", message)
        self.code = 409


class DeleteConflictError(IoTClientError):
    """Something else still needs it."""

    def __init__(self, message: str) -> None:
        super().__init__("DeleteConflictException", message)
        self.code = 409
