"""What the sources of the VPN's certificates share: what they are asked for, and what they give.

Client VPN takes RSA keys of 1024 or 2048 bits only, and a certificate needs a common name (Client VPN administrator
guide, "Mutual authentication in AWS Client VPN").
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_tls as tls

SERVER_RENEWAL_DAYS = 60
"""Days ahead that the server's certificate renews itself, as ACM's own do (ACM user guide, "Managed renewal")."""
CLIENT_RENEWAL_DAYS = 90
"""Days ahead that a client's does: its device may be away for weeks, and has to fetch it."""
AUTHORITY_COMMON_NAME = "Client VPN CA"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCertificate:
    """A device's VPN certificate.

    Attributes:
        certificate_pem: PEM.
        private_key_pem: PEM, secret; None where the key is on the device.
        serial_number: Decimal; None where the authority is not the stack's own, which revokes for itself.
        expires: RFC 3339; None where nobody knows it.
    """

    certificate_pem: pulumi.Output[str]
    private_key_pem: pulumi.Output[str] | None
    serial_number: pulumi.Output[str] | None = None
    expires: pulumi.Output[str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """An authority of the stack's own, which alone can sign a revocation list here."""

    certificate_pem: pulumi.Output[str]
    private_key_pem: pulumi.Output[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class VpnCertificates:
    """What a Client VPN endpoint and its profiles need.

    Attributes:
        server_arn: The server's certificate in ACM.
        client_root_arn: The certificate in ACM whose chain clients are checked against.
        authority_pem: Authorities of the server's certificate, for the profiles.
        clients: Each device's certificate, by its name.
        expires: What else expires → when, RFC 3339.
        authority: The stack's own authority, where it is one.
        server: The server's certificate in ACM, where the stack made it.
    """

    server_arn: pulumi.Output[str]
    client_root_arn: pulumi.Output[str]
    authority_pem: pulumi.Output[str]
    clients: Mapping[str, ClientCertificate]
    expires: Mapping[str, pulumi.Output[str]]
    authority: Authority | None = None
    server: "aws.acm.Certificate | None" = None


@dataclass(frozen=True, slots=True)
class ClientRequest:
    """A device's certificate request; `private_key_pem` is None where the device keeps its key."""

    client: str
    prefix: str
    request_pem: pulumi.Input[str]
    private_key_pem: pulumi.Output[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an authority is asked for.

    Attributes:
        name: The first part of every resource's name.
        server_name: Common name and DNS name of the server.
        clients: Device → its certificate request, PEM, or None to make its key in the stack.
        authority_validity_days: Days that a new authority is valid; one that is there keeps its own.
        certificate_validity_days: Days that the others are valid.
        tags: Tags of what takes them.
        parent: The component that everything belongs to.
        aliases: Where everything may have been before.
    """

    name: str
    server_name: str
    clients: Mapping[str, str | None]
    authority_validity_days: int
    certificate_validity_days: int
    tags: Mapping[str, pulumi.Input[str]]
    parent: pulumi.Resource
    aliases: Sequence[pulumi.Alias] = ()

    @property
    def children(self) -> pulumi.ResourceOptions:
        """Options of whatever needs no more than its parent."""
        return pulumi.ResourceOptions(parent=self.parent, aliases=[*self.aliases] or None)

    def tagged(self, suffix: str) -> dict[str, pulumi.Input[str]]:
        """Return the tags of one resource, with its name."""
        return {**self.tags, "Name": f"{self.name}-{suffix}"}

    def requests(self) -> Iterator[ClientRequest]:
        """Give each device's request, with a key that is made in the stack where the device has none."""
        for client, given in self.clients.items():
            prefix = f"{self.name}-client-{client}"
            if given is None:
                key, request = key_and_request(prefix, client, [], self.children)
                yield ClientRequest(client, prefix, request, key)
            else:
                yield ClientRequest(client, prefix, given, None)


def early_renewal_hours(days_ahead: int, validity_days: int) -> int:
    """Return how long ahead a certificate renews itself: never more than a third of its whole life."""
    return min(days_ahead * 24, validity_days * 24 // 3)


def key_and_request(
    prefix: str, common_name: str, dns_names: list[str], children: pulumi.ResourceOptions
) -> tuple[pulumi.Output[str], pulumi.Output[str]]:
    """Make a key and a certificate request in the stack, PEM both."""
    key = tls.PrivateKey(f"{prefix}-key", algorithm="RSA", rsa_bits=2048, opts=children)
    request = tls.CertRequest(
        f"{prefix}-request",
        private_key_pem=key.private_key_pem,
        subject=tls.CertRequestSubjectArgs(common_name=common_name),
        dns_names=dns_names,
        opts=children,
    )
    return key.private_key_pem, request.cert_request_pem
