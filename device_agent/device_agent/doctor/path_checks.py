"""The doctor's checks of the way to AWS IoT: resolver, TCP, TLS, MQTT, and an echo."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from ipaddress import IPv4Address

from device_agent._exceptions import CertificateError, DeviceAgentError, RefusedError
from device_agent.address_rule import address_rule, describe_rule
from device_agent.addresses import outside
from device_agent.certificates import date, parse_certificate
from device_agent.dns import DnsError, query
from device_agent.doctor.checks import CheckContext, Finding
from device_agent.installation import OPENVPN_SERVICE, Installation
from device_agent.system import System

CONNECT_TIMEOUT = 5.0
"""Seconds for TCP and for each step of TLS."""
SEGMENTS = (1100, 900, 700, 536)
"""Bytes of TCP tried where large packets seem to be dropped; the last fits every IPv4 line (RFC 9293, 3.7.1)."""


def check_resolver(
    context: CheckContext, explain: Callable[[System, Installation, str], Finding] | None = None
) -> Finding:
    """Resolve the endpoint as any program does: every answer has to be inside the VPC."""
    installation = context.installation
    try:
        addresses = context.system.resolve(installation.endpoint)
    except OSError as error:
        addresses, seen = [], f"{installation.endpoint} cannot be resolved: {error.strerror or error}"
    else:
        seen = f"{installation.endpoint} is {', '.join(addresses)}"
        if addresses and not outside(addresses, installation.vpc_cidr):
            context.addresses = addresses
            return Finding("ok", f"{seen}, inside {installation.vpc_cidr}")
    return (explain or _explain_resolver)(context.system, installation, seen)


def _explain_resolver(system: System, installation: Installation, seen: str) -> Finding:
    """Ask the VPC's resolver itself, to tell whose fault a wrong answer is."""
    server = str(installation.dns_server)
    try:
        answers = query(server, installation.endpoint)
    except DnsError as error:
        if "refused" in str(error).lower():
            return Finding(
                "failed",
                f"{seen}; asked directly: {error}",
                "the VPC's resolver can be reached, but does not serve",
                f"check that {server} is the VPC's resolver and that DNS support is on in the VPC",
            )
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
        if _demands_tls(system):
            return Finding(
                "failed",
                seen,
                "the VPC's resolver is right, but systemd-resolved asks it with TLS, which it does not speak"
                " (DNSOverTLS=yes)",
                "set `DNSOverTLS=opportunistic` in /etc/systemd/resolved.conf, then `systemctl restart"
                f" systemd-resolved {OPENVPN_SERVICE}`",
            )
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


def _demands_tls(system: System) -> bool:
    """Tell whether resolved would rather not ask at all than without TLS; `opportunistic` asks all the same."""
    lines = system.run(["resolvectl", "dnsovertls"]).stdout.splitlines()
    return any(line.strip().endswith(": yes") for line in lines if line.startswith("Global") or "tun" in line)


def check_tcp(context: CheckContext) -> Finding:
    """Connect to the MQTT port of every address, and see that the way is the first hop."""
    seen, hop = [], context.installation.hop
    for address in context.addresses:
        route = context.system.find_route(IPv4Address(address))
        if route is None or not hop.takes(route):
            return Finding(
                "failed",
                f"{address} is reached through {route.interface if route else 'nothing'}",
                "a route of another network covers the VPC's addresses",
                f"remove that route, or give the VPC another CIDR block than {context.installation.vpc_cidr}",
            )
        start = context.system.monotonic()
        try:
            socket.create_connection((address, context.port), CONNECT_TIMEOUT).close()
        except OSError as error:
            return Finding(
                "failed",
                f"{address} port {context.port}: {error.strerror or error}",
                f"the {hop.kind} is up, but something between the VPN and the VPC endpoint stops TCP",
                "check the security groups of the Client VPN association and of the VPC endpoint, the authorization"
                " rule, and that the VPC endpoint is available",
            )
        seen.append(f"{address} port {context.port} through {hop.name(route)} in {_milliseconds(context, start)}")
    return Finding("ok", ", ".join(seen))


def check_tls(context: CheckContext) -> Finding:
    """Shake hands with the first address, verifying its chain and name with the standard library."""
    installation = context.installation
    try:
        found = _handshake(context, verify=True)
    except ssl.SSLCertVerificationError as error:
        return Finding(
            "failed",
            f"{error.verify_message}; the server shows {_server_names(context)}",
            "whatever answers is not trusted as this AWS IoT endpoint",
            "check the clock, the root certificate in the bundle, and that the address is the VPC endpoint's",
        )
    except (OSError, ssl.SSLError) as error:
        if isinstance(error, TimeoutError) and (passing := _find_passing_size(context)):
            return Finding(
                "failed",
                f"TCP stands, but the handshake gets no answer; held to segments of {passing} bytes it succeeds",
                "a line between the device and the Client VPN endpoint drops large packets without a word (its MTU)",
                f"set `mssfix` in the stack to {passing} or less and install the new bundle",
            )
        return Finding(
            "failed",
            f"the handshake failed: {getattr(error, 'reason', None) or error}",
            "something on port 8883 does not speak TLS with this device's certificate",
            "check that the device's certificate is active in AWS IoT, and that nothing intercepts the connection",
        )
    server = parse_certificate(found, installation.endpoint)
    names = ", ".join(server.dns_names)
    return Finding("ok", f"{server.issuer} vouches for {names} until {date(server.not_after)}")


def check_mqtt(context: CheckContext) -> Finding:
    """Connect with MQTT 5 as the device."""
    from device_agent import session as mqtt_session  # noqa: PLC0415 - brings the SDK, 100 ms and 20 MB

    installation = context.installation
    session = mqtt_session.open_session(context.system, installation, port=context.port)
    try:
        with address_rule(context.system, installation.vpc_cidr) as rule:
            start = context.system.monotonic()
            peers = session.connect()
    except DeviceAgentError as error:
        if isinstance(error, RefusedError) and error.passing:
            return Finding("failed", str(error), "AWS IoT is there, but does not serve now", "wait and ask again")
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
        "ok",
        f"connected to {', '.join(peers)} as {installation.client_id} in {_milliseconds(context, start)};"
        f" {describe_rule(rule)}",
    )


def check_echo(context: CheckContext) -> Finding:
    """Publish a message and wait for it on a subscription."""
    from device_agent import session as mqtt_session  # noqa: PLC0415 - as above

    installation = context.installation
    topic = f"{installation.topic_prefix}/echo"
    session = mqtt_session.open_session(context.system, installation, port=context.port)
    try:
        with address_rule(context.system, installation.vpc_cidr):
            session.connect()
            seconds = mqtt_session.echo(session, topic)
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


def _handshake(context: CheckContext, *, verify: bool, segment: int | None = None) -> bytes:
    """Give the server's certificate; with `segment` neither side sends more at once (tcp(7), TCP_MAXSEG)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as plain:
        plain.settimeout(CONNECT_TIMEOUT)
        if segment:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, segment)
        plain.connect((context.addresses[0], context.port))
        with wrap_tls(context, plain, verify=verify) as channel:
            return channel.getpeercert(binary_form=True) or b""


def _find_passing_size(context: CheckContext) -> int | None:
    """Find the largest of some segment sizes with which the handshake succeeds; None if none does."""
    for segment in SEGMENTS:
        try:
            _handshake(context, verify=False, segment=segment)
        except OSError:
            continue
        return segment
    return None


def wrap_tls(context: CheckContext, connection: socket.socket, *, verify: bool) -> ssl.SSLSocket:
    """Shake hands over a connection as the device.

    Args:
        context: Who.
        connection: A connected socket, which the result replaces.
        verify: Whether to check the server's chain and name.

    Returns:
        The channel.

    Raises:
        OSError: The handshake failed (`ssl.SSLError` among them).
    """
    installation = context.installation
    roots = installation.root_ca_file
    tls = ssl.create_default_context(cafile=str(roots) if roots else None)
    tls.load_cert_chain(installation.certificate_file, installation.private_key_file)
    if context.port == 443:
        tls.set_alpn_protocols(["x-amzn-mqtt-ca"])
    if not verify:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    return tls.wrap_socket(connection, server_hostname=installation.endpoint)


def _server_names(context: CheckContext) -> str:
    try:
        found = parse_certificate(_handshake(context, verify=False), "the server's certificate")
    except (OSError, CertificateError):
        return "no certificate that can be read"
    names = ", ".join(found.dns_names) or found.subject
    return f"{names}, issued by {found.issuer}, valid from {date(found.not_before)} to {date(found.not_after)}"


def _milliseconds(context: CheckContext, start: float) -> str:
    return f"{(context.system.monotonic() - start) * 1000:.0f} ms"
