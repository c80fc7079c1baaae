"""The doctor's checks beside the tunnel: the home network that carries it, and the public way, which has to be shut."""

from __future__ import annotations

import contextlib
import secrets
import socket
import ssl
import struct
from ipaddress import ip_address

from device_agent.addresses import outside
from device_agent.dns import DnsError, query
from device_agent.doctor.checks import CheckContext, Finding
from device_agent.doctor.path_checks import CONNECT_TIMEOUT, wrap_tls
from device_agent.install.openvpn_profile import parse_profile
from device_agent.installation import OPENVPN_FILE
from device_agent.routes import TUNNEL_KINDS
from device_agent.service import RESOLVED_SERVICE, resolved_is_deaf

_RESOLV_CONF = ("/run/systemd/resolve/resolv.conf", "/etc/resolv.conf")


def check_home(context: CheckContext) -> Finding:
    """See whether the home network is there and knows the Client VPN endpoint's name."""
    device = _find_interface(context)
    if resolved_is_deaf(context.system):
        return Finding(
            "failed",
            f"{RESOLVED_SERVICE} does not answer on the bus (`resolvectl status`)",
            "it runs without its bus name, as after its installation on Debian: nobody can give it the tunnel's DNS,"
            " and the device resolves no name",
            f"`sudo systemctl restart {RESOLVED_SERVICE}`",
        )
    if device is None:
        return Finding(
            "failed",
            "there is no default route besides the tunnel",
            "the device is not in a network that leads to the internet, which carries the tunnel",
            "check the cable or the wireless network (`ip route`, `nmcli`)",
        )
    context.home_interface = device
    servers = _home_servers(context)
    if not servers:
        return Finding("ok", f"{device} leads to the internet; its DNS servers are not known here")
    name = _remote_name(context)
    silent = ""
    for server in servers:
        try:
            answers = query(server, name, interface=device)
        except DnsError as error:
            silent = str(error)
            continue
        if answers:
            return Finding("ok", f"{device} leads to the internet, and {server} knows the Client VPN endpoint")
        return Finding(
            "failed",
            f"{server} knows no {name}",
            "the Client VPN endpoint of this bundle does not exist, or its name is kept from this network",
            "compare with `pulumi stack output clientVpnEndpointId`; install the stack's present bundle",
        )
    return _silent_home(context, device, silent)


def _silent_home(context: CheckContext, device: str, silent: str) -> Finding:
    """Judge a home network without DNS by whether a tunnel lives in it all the same."""
    try:
        query(str(context.installation.dns_server), context.installation.endpoint)
    except DnsError:
        return Finding(
            "failed",
            f"{device} is up, but its DNS fails: {silent}",
            "the home network has no internet now, and the tunnel nothing to run over",
            "check the router and its internet connection; the tunnel comes back by itself",
        )
    return Finding(
        "warning",
        f"{device} is up and the tunnel works, but the home network's DNS fails: {silent}",
        "the tunnel lives until its next reconnect, which needs the Client VPN endpoint's name",
        "check the router and its DNS",
    )


def remote_addresses(context: CheckContext) -> list[str]:
    """Resolve the Client VPN endpoint as OpenVPN's next connection would, with the home network's DNS.

    Raises:
        OSError: It cannot be resolved.
    """
    name = _remote_name(context)
    for server in _home_servers(context):
        with contextlib.suppress(DnsError):
            found = query(server, name, interface=context.home_interface)
            if found:
                return found
    return context.system.resolve(name)


def _remote_name(context: CheckContext) -> str:
    profile = parse_profile(context.system.path(OPENVPN_FILE).read_text("ascii"), OPENVPN_FILE)
    name = profile.directives["remote"][0][0]
    # As remote-random-hostname does; the endpoint's name itself has no address.
    return f"{secrets.token_hex(6)}.{name}" if "remote-random-hostname" in profile.directives else name


def check_public_way(context: CheckContext) -> Finding:
    """Try the endpoint's public address outside the tunnel: AWS IoT has to refuse this device there."""
    installation = context.installation
    device = context.home_interface
    addresses, asked = _public_addresses(context, device)
    if not addresses:
        return Finding(
            "warning",
            f"no public address of {installation.endpoint} to try ({asked})",
            "whether AWS IoT refuses this device on the public way is not known",
            "ask again where the home network's DNS answers, or compare the IoT policy's aws:SourceVpce by hand",
        )
    address = addresses[0]
    try:
        answer = _connect_publicly(context, address, device)
    except ssl.SSLCertVerificationError as error:
        return Finding(
            "warning",
            f"{address} through {device}, outside the tunnel: {error.verify_message}",
            "something else than AWS IoT answers there, so whether AWS IoT refuses this device is not known",
            "ask again from a network that does not intercept TLS",
        )
    except OSError as error:
        return Finding("ok", f"{address} through {device}, outside the tunnel: {error.strerror or error}")
    if answer[:1] == b"\x20" and len(answer) >= 4 and answer[3] == 0:
        return Finding(
            "failed",
            f"{address} through {device}, outside the tunnel: connected",
            "AWS IoT takes this device from the public internet: the path is not private",
            f"bind every statement of the IoT policy to aws:SourceVpce {installation.vpc_endpoint_id}",
        )
    how = f"CONNACK 0x{answer[3]:02X}" if len(answer) >= 4 else "hung up"
    return Finding("ok", f"{address} through {device}, outside the tunnel: refused ({how})")


def check_neighbours_public_way(context: CheckContext) -> Finding:
    """The same of a device without a tunnel, whose LAN may have no way to the internet at all."""
    endpoint = context.installation.endpoint
    device = _find_interface(context)
    if device is None:
        return Finding("ok", "there is no default route, so that no public way exists")
    context.home_interface = device
    addresses, asked = _public_addresses(context, device)
    if not addresses:
        return Finding("ok", f"the LAN gives no public address of {endpoint} ({asked})")
    return check_public_way(context)


def _find_interface(context: CheckContext) -> str | None:
    """Find the default route's interface that is not the tunnel."""
    routes = [
        route
        for route in context.system.list_routes()
        if not route.network.prefixlen and route.kind not in TUNNEL_KINDS
    ]
    return min(routes, key=lambda route: route.metric).interface if routes else None


def _home_servers(context: CheckContext) -> list[str]:
    """List the home network's DNS servers: those that are neither systemd-resolved's own address nor in the VPC."""
    servers: dict[str, None] = {}
    for file in _RESOLV_CONF:
        try:
            lines = context.system.path(file).read_text("utf-8", "replace").splitlines()
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if words[:1] == ["nameserver"] and len(words) > 1 and _is_remote(words[1]):
                servers[words[1]] = None
    return outside(list(servers), context.installation.vpc_cidr)


def _is_remote(text: str) -> bool:
    try:
        return not ip_address(text.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _public_addresses(context: CheckContext, device: str) -> tuple[list[str], str]:
    """Ask the home network's DNS servers for the endpoint, past the tunnel."""
    installation = context.installation
    asked = "no DNS server of the home network is known"
    for server in _home_servers(context):
        try:
            found = query(server, installation.endpoint, interface=device)
        except DnsError as error:
            asked = str(error)
            continue
        public = outside(found, installation.vpc_cidr)
        if public:
            return public, server
        asked = f"{server} says {', '.join(found) or 'nothing'}"
    return [], asked


def _connect_publicly(context: CheckContext, address: str, device: str) -> bytes:
    """Offer an MQTT 5 CONNECT from the home interface and give the answer, empty if the server hangs up.

    Raises:
        OSError: The address cannot be reached, or TLS fails.
    """
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as connection:
        connection.settimeout(CONNECT_TIMEOUT)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode("ascii") + b"\0")
        connection.connect((address, context.port))
        with wrap_tls(context, connection, verify=True) as channel:
            client_id = context.installation.client_id.encode("ascii")
            # Protocol name and version 5, clean start, keep-alive 30 s, no properties, the client ID (MQTT 5, 3.1).
            body = b"\0\4MQTT\5\2\0\x1e\0" + struct.pack(">H", len(client_id)) + client_id
            length = bytes([len(body)]) if len(body) < 128 else bytes([len(body) % 128 + 128, len(body) // 128])
            channel.sendall(b"\x10" + length + body)
            try:
                return channel.recv(64)
            except (ConnectionError, ssl.SSLError):
                return b""
