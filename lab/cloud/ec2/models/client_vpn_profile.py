"""The text that ExportClientVpnClientConfiguration gives."""

TEMPLATE = """\
client
dev tun
proto {protocol}
remote {host_name} {port}
remote-random-hostname
resolv-retry infinite
nobind
remote-cert-tls server
cipher AES-256-GCM
verb 3
<ca>
{chain}

</ca>


reneg-sec 0

verify-x509-name {server_name} name
"""
"""As AWS exports it, blank lines too (the walk-through's profile; CVPN/cvpn-working-endpoint-export.html).
``verify-x509-name`` is newer than the walk-through."""


def client_configuration(*, protocol: str, host_name: str, port: int, chain: str, server_name: str) -> str:
    """Write the profile of an endpoint, to which a client adds its own certificate and key.

    Args:
        protocol: ``udp`` or ``tcp``.
        host_name: the endpoint's DNS name without the leading ``*.``.
        port: 443 or 1194.
        chain: PEM of the authorities that the server's certificate chains to.
        server_name: common name of the server's certificate.

    Returns:
        An OpenVPN profile.
    """
    return TEMPLATE.format(
        protocol=protocol, host_name=host_name, port=port, chain=chain.strip(), server_name=server_name
    )
