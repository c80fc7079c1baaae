"""The tls provider: nothing to configure, four resource types."""

from collections.abc import Mapping
from typing import Any

from lab.providers.definition import unknown_keys
from lab.providers.errors import Failure, ProviderError
from lab.providers.schema import Function, Resource
from lab.providers.tls.certificates import CERT_REQUEST, LOCALLY_SIGNED_CERT, SELF_SIGNED_CERT
from lab.providers.tls.private_key import PRIVATE_KEY
from lab.providers.values import Properties


class TlsProvider:
    """The stand-in for `pulumi-resource-tls`."""

    name = "tls"
    version = "5.6.2"
    configuration_that_replaces: frozenset[str] = frozenset()
    session: Any = None
    functions: Mapping[str, Function] = {}
    resources: Mapping[str, Resource] = {
        resource.type: resource for resource in (PRIVATE_KEY, CERT_REQUEST, SELF_SIGNED_CERT, LOCALLY_SIGNED_CERT)
    }

    def check_configuration(self, given: Properties) -> list[Failure]:
        """Refuses names that the provider does not have."""
        return unknown_keys(given, ("proxy",))

    def configure(self, given: Properties) -> None:
        """Takes the configuration, of which these types need nothing."""

    def before_check(self, resource: Resource, given: Properties) -> Properties:
        """The inputs as they are."""
        return dict(given)

    def complete(self, resource: Resource, inputs: Properties) -> Properties:
        """The inputs as they are."""
        return inputs

    def after_read(self, resource: Resource, state: Properties, inputs: Properties) -> Properties:
        """The state without what it does not have."""
        return {name: value for name, value in state.items() if value is not None and not name.startswith("__")}

    def explain(self, error: Exception) -> str:
        """The error's own text, which never holds a key: only the provider's own errors are quoted."""
        return str(error) if isinstance(error, ProviderError) else f"{type(error).__name__} in the tls provider"
