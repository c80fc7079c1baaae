"""The OpenVPN profile of a device: AWS's own export, then what an unattended device needs. No Pulumi here."""

from collections.abc import Sequence
from dataclasses import dataclass

RESOLVER_SCRIPT = "/etc/openvpn/update-systemd-resolved"
"""Where the package openvpn-systemd-resolved puts its script."""
MSSFIX = 1232
"""Bytes of a UDP datagram that fits a line of 1,280 bytes, IPv6's least (RFC 8200, section 5), with IPv6's header."""
LEAST_MSSFIX, MOST_MSSFIX = 576, 1472


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """The Client VPN endpoint as a profile names it.

    Attributes:
        dns_name: The endpoint's `dns_name`; the `*.` that it begins with stands for `remote-random-hostname`.
        port: 443 or 1194.
        protocol: `udp` or `tcp`.
        ca_certificate_pem: The authority of the server's certificate.
        server_name: The common name of the server's certificate.
        split_tunnel: Whether only the VPC's traffic goes through the tunnel.
        mssfix: Most bytes of a datagram that carries TCP.
    """

    dns_name: str
    port: int
    protocol: str
    ca_certificate_pem: str
    server_name: str
    split_tunnel: bool
    mssfix: int = MSSFIX


def exported_profile(remote: Remote) -> str:
    r"""Write what `aws ec2 export-client-vpn-client-configuration` gives, byte for byte, empty lines included.

    Args:
        remote: The endpoint.

    Returns:
        The text with `\n` at the end of each line.
    """
    return f"""\
client
dev tun
proto {remote.protocol}
remote {remote.dns_name.removeprefix("*.")} {remote.port}
remote-random-hostname
resolv-retry infinite
nobind
remote-cert-tls server
cipher AES-256-GCM
verb 3
<ca>
{remote.ca_certificate_pem.strip()}

</ca>


reneg-sec 0

verify-x509-name {remote.server_name} name
"""


def device_profile(
    remote: Remote, *, certificate_pem: str, private_key_pem: str | None, private_domains: Sequence[str] = ()
) -> str:
    r"""Write the profile that `openvpn-client@clientvpn.service` runs on the device.

    Args:
        remote: The endpoint.
        certificate_pem: The device's VPN certificate.
        private_key_pem: Its private key, for whose sake the result is a secret; None where it is on the device, whose
            agent puts it in.
        private_domains: Names that the VPC's resolver answers; with none, every name is asked there.

    Returns:
        The text in plain ASCII with `\n` at the end of each line. Each added line has its reason above it.
    """
    return "".join(
        (
            exported_profile(remote),
            _identity(certificate_pem, private_key_pem),
            _RESOLVER,
            _domain_routes(private_domains),
            _RECONNECT,
            _largest_packet(remote),
            _persist_tun(remote),
            _exit_notify(remote),
        )
    )


def _identity(certificate_pem: str, private_key_pem: str | None) -> str:
    key = f"<key>\n{private_key_pem.strip()}\n</key>\n" if private_key_pem else ""
    return f"""
# ---- Up to here: AWS's own export. From here on: what an unattended device needs. ----

# This device's identity, inline: one file to install and to protect.
<cert>
{certificate_pem.strip()}
</cert>
{key}"""


_RESOLVER = f"""
# OpenVPN runs scripts from level 2 on.
script-security 2
# Hands the VPC's resolver, which the endpoint pushes, to systemd-resolved: the private zone is visible there only.
up {RESOLVER_SCRIPT}
# Takes it back when the tunnel goes.
down {RESOLVER_SCRIPT}
# Before the interface is gone: afterwards the script fails, and OpenVPN exits for good at its first reconnect.
down-pre
# At reconnects too: the resolver may have been lost with a change of the network below.
up-restart
"""
_RECONNECT = """
# The endpoint pushes `ping-restart 20`: so many seconds of silence start a reconnect. Less would never let a slow
# device up: the resolver's script above blocks OpenVPN for seconds, which would count as silence.
# An endpoint that does not answer within 5 s is tried anew, and under another address (the default is 120 s).
server-poll-timeout 5
# A handshake that was begun has 15 s (the default is 60 s).
hand-window 15
# Pauses of 1 s at first, 8 s at most (the default grows to 300 s).
connect-retry 1 8
"""


def _domain_routes(private_domains: Sequence[str]) -> str:
    if not private_domains:
        return "# Every name is asked at the VPC's resolver (resolvectl(1), `~.`).\ndhcp-option DOMAIN-ROUTE .\n"
    lines = "".join(f"dhcp-option DOMAIN-ROUTE {domain}\n" for domain in private_domains)
    return f"# Only these names are asked at the VPC's resolver: a dead tunnel leaves all others alone.\n{lines}"


def _largest_packet(remote: Remote) -> str:
    return f"""\
# TCP inside the tunnel is held to packets that fit the line: many lines drop larger ones without a word.
mssfix {remote.mssfix}
"""


def _persist_tun(remote: Remote) -> str:
    if not remote.split_tunnel:
        # The routes of a full tunnel would also swallow the reconnect itself: the endpoint's next address is another.
        return ""
    return """\
# The interface and the VPC's route stay during a reconnect: nothing for the VPC leaves by another way meanwhile.
persist-tun
"""


def _exit_notify(remote: Remote) -> str:
    if remote.protocol != "udp":
        # A TCP connection says so itself when it closes.
        return ""
    return """\
# Tells the endpoint when the device goes, so that no stale session stays behind.
explicit-exit-notify 1
"""
