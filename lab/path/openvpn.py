"""The server's side of AWS Client VPN: OpenVPN's configuration, and what its management socket says."""

import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path

from lab.path.model import ClientVpnEndpoint
from lab.path.nftables import TUNNEL

# OpenVPN's pool holds 65,536 addresses at most; AWS, too, hands out a slice of the client CIDR on each of its servers.
_POOL_PREFIX = 22


def client_network(client_cidr: str) -> ipaddress.IPv4Network:
    """Return the part of the client CIDR that the server hands out: its first /22."""
    network = ipaddress.IPv4Network(client_cidr)
    return next(network.subnets(new_prefix=max(_POOL_PREFIX, network.prefixlen)))


def server_configuration(endpoint: ClientVpnEndpoint, *, address: str, management: str, status: str) -> str:
    """Return the configuration of the server of an endpoint.

    What is pushed is what the walk-through's client logged: ``dhcp-option DNS``, ``redirect-gateway def1 bypass-dhcp``,
    ``route-gateway``, ``topology subnet``, ``ping 1``, ``ping-restart 20``; with split tunnel the routes of the
    endpoint's route table take the place of the redirection (Client VPN administrator guide, "Split-tunnel").

    Args:
        address: The server's public address.
        management: Path of the management socket.
        status: Path of the file that tells the clients, written every second.
    """
    network = client_network(endpoint.client_cidr)
    push = [f"dhcp-option DNS {server}" for server in endpoint.dns_servers]
    if endpoint.split_tunnel:
        destinations = {ipaddress.IPv4Network(route.destination_cidr) for route in endpoint.routes}
        push += [f"route {route.network_address} {route.netmask}" for route in sorted(destinations)]
    else:
        push.append("redirect-gateway def1 bypass-dhcp")
    push += ["ping 1", "ping-restart 20"]
    udp = endpoint.transport_protocol == "udp"
    lines = [
        f"local {address}",
        f"port {endpoint.port}",
        f"proto {'udp4' if udp else 'tcp4-server'}",
        f"dev {TUNNEL}",
        "dev-type tun",
        "topology subnet",
        f"server {network.network_address} {network.netmask}",
        "data-ciphers AES-256-GCM",
        "tls-version-min 1.2",
        "dh none",
        "verify-client-cert require",
        # Several clients may share a certificate; AWS tells them apart by connection, not by name.
        "duplicate-cn",
        "ping 1",
        "ping-restart 40",
        "reneg-sec 0",
        f"management {management} unix",
        f"status {status} 1",
        "status-version 3",
        "verb 3",
        *(f'push "{option}"' for option in push),
        # A server that is stopped in good order tells its clients, as AWS does when it resets connections.
        *(["explicit-exit-notify 1"] if udp else []),
        _inline("ca", endpoint.client_root_chain),
        _inline("cert", endpoint.server_certificate.certificate),
        _inline("key", endpoint.server_certificate.private_key),
        *([_inline("extra-certs", endpoint.server_certificate.chain)] if endpoint.server_certificate.chain else []),
        *([_inline("crl-verify", endpoint.revocation_list)] if endpoint.revocation_list else []),
    ]
    return "\n".join(lines) + "\n"


def _inline(tag: str, pem: str) -> str:
    return f"<{tag}>\n{pem.strip()}\n</{tag}>"


@dataclass(frozen=True)
class Client:
    """One client of a server, as the server lists it.

    Attributes:
        client_id: OpenVPN's number of the client instance.
        common_name: CN of its certificate.
        real_address: Where it comes from, ``address:port``.
        address: Its address inside the tunnel.
        received: Bytes that came from it.
        sent: Bytes that went to it.
        since: Seconds since the epoch.
    """

    client_id: int
    common_name: str
    real_address: str
    address: str
    received: int
    sent: int
    since: int


@dataclass(frozen=True)
class Status:
    """What a server said of itself.

    Attributes:
        at: When, in seconds since the epoch.
    """

    at: int
    clients: tuple[Client, ...]


def parse_status(text: str) -> Status | None:
    """Return a server's status of version 3.

    Args:
        text: Tab-separated lines; ``TIME`` has the date and the epoch, ``CLIENT_LIST`` common name, real address,
            virtual address, virtual IPv6 address, bytes received, bytes sent, time, epoch, user name, client id, peer
            id, cipher (openvpn(8), "status-version").

    Returns:
        The status, or None where the file is just being written.
    """
    if not text.rstrip().endswith("END"):
        return None
    at, clients = 0, []
    for line in text.splitlines():
        fields = line.split("\t")
        if fields[0] == "TIME":
            at = int(fields[2])
        # A client that is still shaking hands has no address yet.
        if fields[0] == "CLIENT_LIST" and fields[3]:
            address = fields[2].removeprefix("udp4:").removeprefix("tcp4-server:")
            clients.append(
                Client(int(fields[10]), fields[1], address, fields[3], int(fields[5]), int(fields[6]), int(fields[8]))
            )
    return Status(at, tuple(clients))


def manage(path: Path, command: str, *, timeout: float = 2) -> str:
    """Send one command to a management socket and return the lines of its answer.

    Args:
        command: Such as ``status 3`` or ``client-kill 0``.
        timeout: Seconds to wait for the answer.

    Raises:
        OSError: The server does not answer.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout)
        connection.connect(str(path))
        connection.sendall(f"{command}\nquit\n".encode())
        text = ""
        while data := connection.recv(65536):
            text += data.decode(errors="replace")
    return "\n".join(line for line in text.replace("\r", "").splitlines() if not line.startswith(">"))
