"""The tls provider: nothing to configure, four resource types."""

from lab.providers.definition import Provider
from lab.providers.tls.certificates import CERT_REQUEST, LOCALLY_SIGNED_CERT, SELF_SIGNED_CERT
from lab.providers.tls.private_key import PRIVATE_KEY


class TlsProvider(Provider):
    """The stand-in for `pulumi-resource-tls`."""

    name = "tls"
    version = "5.6.2"
    configuration = frozenset({"proxy"})
    resources = {  # noqa: RUF012  # read only
        resource.type: resource for resource in (PRIVATE_KEY, CERT_REQUEST, SELF_SIGNED_CERT, LOCALLY_SIGNED_CERT)
    }
