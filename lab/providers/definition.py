"""What a provider offers: its resource types and functions, its configuration, and how its errors are told."""

from collections.abc import Mapping
from typing import Any, Final

from lab.providers.errors import Failure, ProviderError
from lab.providers.schema import Function, Resource
from lab.providers.values import Properties

BOOKKEEPING: Final = frozenset({"version", "pluginDownloadURL"})
"""Configuration that every provider is given by the engine."""


class Provider:
    """One stand-in provider, which takes inputs and states as they are.

    Attributes:
        name: The package's name.
        version: The version of the plugin that it stands in for.
        configuration: The names that its configuration has.
        configuration_that_replaces: Those of which another value means other resources.
        resources: Type token → description.
        functions: Function token → description.
    """

    name: str
    version: str
    configuration: frozenset[str]
    configuration_that_replaces: frozenset[str] = frozenset()
    resources: Mapping[str, Resource]
    functions: Mapping[str, Function] = {}

    @property
    def session(self) -> Any:
        """What calls need: for aws the clients, for tls nothing."""
        return None

    def check_configuration(self, given: Properties) -> list[Failure]:
        """What is wrong with the provider's own configuration."""
        known = self.configuration | BOOKKEEPING
        text = 'could not validate provider configuration: Invalid or unknown key. "{}" is not expected here'
        unknown = (name for name in sorted(given) if not name.startswith("__") and name not in known)
        return [Failure(name, text.format(name)) for name in unknown]

    def configure(self, given: Properties) -> None:
        """Takes the configuration."""

    def before_check(self, resource: Resource, given: Properties) -> Properties:
        """Inputs with what the provider's configuration adds to each resource."""
        return dict(given)

    def complete(self, resource: Resource, inputs: Properties) -> Properties:
        """Checked inputs with what the provider works out only when it plans: all tags of a framework type."""
        return inputs

    def after_read(self, resource: Resource, state: Properties, inputs: Properties) -> Properties:
        """A state as read, made to agree with the provider's configuration, without what it does not have."""
        return {name: value for name, value in state.items() if value is not None and not name.startswith("__")}

    def explain(self, error: Exception) -> str:
        """One line about an error, without secrets: only the provider's own errors are quoted."""
        return str(error) if isinstance(error, ProviderError) else f"{type(error).__name__} in the {self.name} provider"
