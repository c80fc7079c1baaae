"""What the stand-in providers raise; the protocol turns each into one message of the engine's."""

from dataclasses import dataclass


class ProviderError(Exception):
    """An operation that cannot be done; the text says which, on what, why, and what the service answered.

    Args:
        message: The text.
        code: The service's error code, where the service refused.
    """

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class CancelledError(ProviderError):
    """The engine asked the provider to stop."""


@dataclass(frozen=True)
class Failure:
    """One refused input.

    Attributes:
        property: The property's name, in the SDK's camelCase (for a nested one its path, `subject.country`).
        reason: What is wrong and what would be right. Never holds a secret value.
        missing: Whether the property is required and absent.
    """

    property: str
    reason: str
    missing: bool = False

    def told(self, resource_name: str) -> str:
        """The refusal as the bridge words it (``pkg/tfbridge/check_failures.go``), naming the place in the text."""
        if self.missing:
            return f"Missing required property '{self.property}'"
        return f"{self.reason}. Examine values at '{resource_name}.{self.property}'."
