"""The doctor's checks of the way to AWS IoT: resolver, TCP, TLS, MQTT, an echo, and the public way, which is shut."""

from __future__ import annotations

import socket
import ssl
import struct

from device_agent._exceptions import CertificateError, DeviceAgentError
from device_agent.addresses import outside
from device_agent.certificates import date, parse_certificate
from device_agent.checks import Finding, Patient
from device_agent.device_checks import find_route, is_tunnel
from device_agent.dns import DnsError, query
from device_agent.installation import OPENVPN_SERVICE, Installation

_PATIENCE = 5
_RESOLV_CONF = ("/run/systemd/resolve/resolv.conf", "/etc/resolv.conf")


def check_resolver(patient: Patient) -> Finding:
    """Resolve the endpoint as any program does: every answer has to be inside the VPC."""
    installation = patient.installation
    try:
        addresses = patient.system.resolve(installation.endpoint)
    except OSError as error:
        addresses, seen = [], f"{installation.endpoint} cannot be resolved: {error.strerror or error}"
    else:
        seen = f"{installation.endpoint} is {', '.join(addresses)}"
        if addresses and not outside(addresses, installation.vpc_cidr):
            patient.addresses = addresses
            return Finding("ok", f"{seen}, inside {installation.vpc_cidr}")
    return _explain_resolver(installation, seen)


def _explain_resolver(installation: Installation, seen: str) -> Finding:
    """Ask the VPC's resolver itself, to tell whose fault a wrong answer is."""
    server = str(installation.dns_server)
    try:
        answers = query(server, installation.endpoint)
    except DnsError as error:
        return Finding(
            "failed",
            f"{seen}; asked directly: {error}",
            "the tunnel carries nothing to the VPC's resolver: the far side is gone, or no authorization rule admits"
            " the device",
            f"wait for OpenVPN to reconnect or `systemctl restart {OPENVPN_SERVICE}`; then check the Client VPN"
            " endpoint's authorization rules and association",
        )
    seen = f"{seen}; {server} itself says {', '.join(answers) or 'nothing'}"
    if answers and not outside(answers, installation.vpc_cidr):
        return Finding(
            "failed",
            seen,
            "the VPC's resolver is right, but this device does not ask it",
            "check that update-systemd-resolved ran (`resolvectl status`) and that NetworkManager has not wiped the"
            f" tunnel's DNS; `systemctl restart {OPENVPN_SERVICE}`",
        )
    return Finding(
        "failed",
        seen,
        "the VPC's resolver does not lead to the VPC endpoint",
        "check the private hosted zone: its name, its record's alias, and its association with the VPC",
    )


def check_tcp(patient: Patient) -> Finding:
    """Connect to the MQTT port of every address, and see that the way is the tunnel."""
    seen = []
    for address in patient.addresses:
        route = find_route(patient, address)
        if route is None or not is_tunnel(route[0]):
            return Finding(
                "failed",
                f"{address} is reached through {route[0] if route else 'nothing'}",
                "a route of another network covers the VPC's addresses",
                f"remove that route, or give the VPC another CIDR block than {patient.installation.vpc_cidr}",
            )
        start = patient.system.monotonic()
        try:
            socket.create_connection((address, patient.port), _PATIENCE).close()
        except OSError as error:
            return Finding(
                "failed",
                f"{address} port {patient.port}: {error.strerror or error}",
                "the tunnel is up, but something between the VPN and the VPC endpoint stops TCP",
                "check the security groups of the Client VPN association and of the VPC endpoint, the authorization"
                " rule, and that the VPC endpoint is available",
            )
        seen.append(f"{address} port {patient.port} through {route[0]} in {_milliseconds(patient, start)}")
    return Finding("ok", ", ".join(seen))


def check_tls(patient: Patient) -> Finding:
    """Shake hands with the first address, verifying its chain and name with the standard library."""
    installation = patient.installation
    try:
        found = _handshake(patient, verify=True)
    except ssl.SSLCertVerificationError as error:
        return Finding(
            "failed",
            f"{error.verify_message}; the server shows {_server_names(patient)}",
            "whatever answers is not trusted as this AWS IoT endpoint",
            "check the clock, the root certificate in the bundle, and that the address is the VPC endpoint's",
        )
    except (OSError, ssl.SSLError) as error:
        return Finding(
            "failed",
            f"the handshake failed: {getattr(error, 'reason', None) or error}",
            "something on port 8883 does not speak TLS with this device's certificate",
            "check that the device's certificate is active in AWS IoT, and that nothing intercepts the connection",
        )
    server = parse_certificate(found, installation.endpoint)
    names = ", ".join(server.dns_names)
    return Finding("ok", f"{server.issuer} vouches for {names} until {date(server.not_after)}")


def check_mqtt(patient: Patient) -> Finding:
    """Connect with MQTT 5 as the device."""
    installation = patient.installation
    session = patient.system.open_session(installation, port=patient.port)
    start = patient.system.monotonic()
    try:
        peers = session.connect()
    except DeviceAgentError as error:
        return Finding(
            "failed",
            str(error),
            "AWS IoT does not take this device's certificate, or its policy does not allow the client ID on this path",
            "check that the certificate is active and attached to thing and policy, and that the policy names"
            f" {installation.vpc_endpoint_id} and the client ID {installation.client_id}",
        )
    finally:
        session.disconnect()
    return Finding(
        "ok", f"connected to {', '.join(peers)} as {installation.client_id} in {_milliseconds(patient, start)}"
    )


def check_echo(patient: Patient) -> Finding:
    """Publish a message and wait for it on a subscription."""
    from device_agent.session import echo  # noqa: PLC0415 - brings the SDK, 100 ms and 20 MB

    installation = patient.installation
    topic = f"{installation.topic_prefix}/echo"
    session = patient.system.open_session(installation, port=patient.port)
    try:
        session.connect()
        seconds = echo(session, topic)
    except DeviceAgentError as error:
        return Finding(
            "failed",
            str(error),
            "the device is connected, but may not publish, subscribe or receive on its own topics",
            f"check the IoT policy's iot:Publish, iot:Subscribe and iot:Receive for {installation.topic_prefix}/*",
        )
    finally:
        session.disconnect()
    return Finding("ok", f"a message to '{topic}' came back in {seconds * 1000:.0f} ms")


def check_public_way(patient: Patient) -> Finding:
    """Try the endpoint's public address outside the tunnel: AWS IoT has to refuse this device there."""
    installation = patient.installation
    device = _home_interface(patient)
    if device is None:
        return Finding("ok", "there is no default route besides the tunnel, so no public way either")
    addresses, asked = _public_addresses(patient, device)
    if not addresses:
        return Finding(
            "warning",
            f"no public address of {installation.endpoint} to try ({asked})",
            "whether AWS IoT refuses this device on the public way is not known",
            "ask again where the home network's DNS answers, or compare the IoT policy's aws:SourceVpce by hand",
        )
    address = addresses[0]
    try:
        answer = _connect_publicly(patient, address, device)
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


def _handshake(patient: Patient, *, verify: bool) -> bytes:
    address = (patient.addresses[0], patient.port)
    with socket.create_connection(address, _PATIENCE) as plain, _wrap(patient, plain, verify=verify) as channel:
        return channel.getpeercert(binary_form=True) or b""


def _wrap(patient: Patient, connection: socket.socket, *, verify: bool) -> ssl.SSLSocket:
    installation = patient.installation
    roots = installation.root_ca_file
    context = ssl.create_default_context(cafile=str(roots) if roots else None)
    context.load_cert_chain(installation.certificate_file, installation.private_key_file)
    if patient.port == 443:
        context.set_alpn_protocols(["x-amzn-mqtt-ca"])
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(connection, server_hostname=installation.endpoint)


def _server_names(patient: Patient) -> str:
    try:
        found = parse_certificate(_handshake(patient, verify=False), "the server's certificate")
    except (OSError, CertificateError):
        return "no certificate that can be read"
    names = ", ".join(found.dns_names) or found.subject
    return f"{names}, issued by {found.issuer}, valid from {date(found.not_before)} to {date(found.not_after)}"


def _home_interface(patient: Patient) -> str | None:
    """Find the default route's interface that is not the tunnel."""
    done = patient.system.run(["ip", "route", "show", "default"])
    for line in done.stdout.splitlines():
        words = line.split()
        if "dev" in words[:-1] and not is_tunnel(words[words.index("dev") + 1]):
            return words[words.index("dev") + 1]
    return None


def _public_addresses(patient: Patient, device: str) -> tuple[list[str], str]:
    """Ask the home network's DNS servers, past the tunnel."""
    installation = patient.installation
    servers: dict[str, None] = {}
    for file in _RESOLV_CONF:
        try:
            lines = patient.system.path(file).read_text("utf-8", "replace").splitlines()
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if words[:1] == ["nameserver"] and len(words) > 1 and not words[1].startswith("127."):
                servers[words[1]] = None
    home = [server for server in servers if outside([server], installation.vpc_cidr)]
    asked = "no DNS server of the home network is known"
    for server in home:
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


def _connect_publicly(patient: Patient, address: str, device: str) -> bytes:
    """Offer an MQTT 5 CONNECT from the home interface and give the answer, empty if the server hangs up.

    Raises:
        OSError: The address cannot be reached, or TLS fails.
    """
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as connection:
        connection.settimeout(_PATIENCE)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode("ascii") + b"\0")
        connection.connect((address, patient.port))
        with _wrap(patient, connection, verify=True) as channel:
            client_id = patient.installation.client_id.encode("ascii")
            # Protocol name and version 5, clean start, keep-alive 30 s, no properties, the client ID (MQTT 5, 3.1).
            body = b"\0\4MQTT\5\2\0\x1e\0" + struct.pack(">H", len(client_id)) + client_id
            length = bytes([len(body)]) if len(body) < 128 else bytes([len(body) % 128 + 128, len(body) // 128])
            channel.sendall(b"\x10" + length + body)
            try:
                return channel.recv(64)
            except (ConnectionError, ssl.SSLError):
                return b""


def _milliseconds(patient: Patient, start: float) -> str:
    return f"{(patient.system.monotonic() - start) * 1000:.0f} ms"
