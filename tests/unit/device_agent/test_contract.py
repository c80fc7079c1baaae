"""The profile that the components write is one that the agent accepts, in all its kinds.

It cannot prove that OpenVPN connects with it; the path tests do.
"""

from __future__ import annotations

import warnings

import pytest
from device_agent.install.openvpn_profile import RESOLVER_SCRIPT, parse_profile

from .material import ENDPOINT, vpn_authority, vpn_client


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
@pytest.mark.parametrize("split_tunnel", [True, False])
@pytest.mark.parametrize("domains", [(), (ENDPOINT,)])
def test_every_profile_of_the_components_passes(protocol: str, split_tunnel: bool, domains: tuple[str, ...]) -> None:
    with warnings.catch_warnings():
        # The AWS package's own, when it is imported for the first time.
        warnings.simplefilter("ignore", DeprecationWarning)
        from private_iot.ovpn_profile import Remote, device_profile
    remote = Remote(
        dns_name="*.cvpn-endpoint-0123456789abcdef0.prod.clientvpn.ap-northeast-1.amazonaws.com",
        port=443,
        protocol=protocol,
        ca_certificate_pem=vpn_authority().certificate_pem,
        server_name="server",
        split_tunnel=split_tunnel,
    )
    text = device_profile(
        remote,
        certificate_pem=vpn_client().certificate_pem,
        private_key_pem=vpn_client().key_pem,
        private_domains=domains,
    )
    found = parse_profile(text)
    assert found.directives["up"] == found.directives["down"] == [[RESOLVER_SCRIPT]]
    assert (found.cert, found.key) == (vpn_client().certificate_pem, vpn_client().key_pem)
