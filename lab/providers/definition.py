"""What a provider offers: its resource types and functions, its configuration, and how its errors are told."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from lab.providers.errors import Failure
from lab.providers.schema import Function, Resource
from lab.providers.values import Properties

BOOKKEEPING: Final = frozenset({"version", "pluginDownloadURL"})
"""Configuration that every provider is given by the engine."""


class Provider(Protocol):
    """One stand-in provider."""

    name: str
    version: str
    configuration_that_replaces: frozenset[str]

    @property
    def session(self) -> Any:
        """What calls need: for aws the clients, for tls nothing."""

    @property
    def resources(self) -> Mapping[str, Resource]:
        """Type token → description."""

    @property
    def functions(self) -> Mapping[str, Function]:
        """Function token → description."""

    def check_configuration(self, given: Properties) -> list[Failure]:
        """What is wrong with the provider's own configuration."""

    def configure(self, given: Properties) -> None:
        """Takes the configuration."""

    def before_check(self, resource: Resource, given: Properties) -> Properties:
        """Inputs with what the provider's configuration adds to each resource."""

    def complete(self, resource: Resource, inputs: Properties) -> Properties:
        """Checked inputs with what the provider works out only when it plans: all tags of a framework type."""

    def after_read(self, resource: Resource, state: Properties, inputs: Properties) -> Properties:
        """A state as read, made to agree with the provider's configuration."""

    def explain(self, error: Exception) -> str:
        """One line about an error, without secrets."""


def unknown_keys(given: Properties, known: Iterable[str]) -> list[Failure]:
    """What a provider's configuration has that the provider does not know."""
    text = 'could not validate provider configuration: Invalid or unknown key. "{}" is not expected here'
    unknown = (name for name in sorted(given) if not name.startswith("__") and name not in {*known, *BOOKKEEPING})
    return [Failure(name, text.format(name)) for name in unknown]
