"""The profiles of an endpoint's clients, in the stack that has the endpoint or in one beside it."""

from collections.abc import Mapping
from typing import Any

import pulumi

from private_iot import ovpn_profile
from private_iot.certificates import ClientCertificate


def write_profiles(
    remote: pulumi.Input[Mapping[str, Any]],
    private_domains: pulumi.Input[Any],
    clients: Mapping[str, ClientCertificate],
) -> tuple[pulumi.Output[dict[str, str]], pulumi.Output[dict[str, str]]]:
    """Write one profile a client.

    Args:
        remote: The fields of `ovpn_profile.Remote`.
        private_domains: Names that the VPC's resolver answers; none is every name.
        clients: Each client's certificate.

    Returns:
        The profiles with a key that the stack made, secret; and those without, of devices that keep theirs.
    """

    def written(values: dict[str, Any]) -> dict[str, str]:
        return {
            client: ovpn_profile.device_profile(
                ovpn_profile.Remote(**values["remote"]),
                certificate_pem=certificate_pem,
                private_key_pem=private_key_pem,
                private_domains=values["private_domains"],
            )
            for client, (certificate_pem, private_key_pem) in values["clients"].items()
        }

    def profiles(made_here: bool) -> pulumi.Output[dict[str, str]]:
        chosen = {
            client: [one.certificate_pem, one.private_key_pem]
            for client, one in clients.items()
            if (one.private_key_pem is not None) is made_here
        }
        return pulumi.Output.all(remote=remote, private_domains=private_domains, clients=chosen).apply(written)

    return pulumi.Output.secret(profiles(made_here=True)), profiles(made_here=False)
