"""The doctor's look at the VPN server's certificate, on whose end every device falls off the path together."""

from __future__ import annotations

import socket
import ssl

from device_agent._exceptions import CertificateError
from device_agent.certificates import DAY, WARN_DAYS, date, parse_certificate
from device_agent.doctor.checks import CheckContext, Finding
from device_agent.doctor.home_checks import remote_addresses
from device_agent.doctor.openvpn_handshake import HandshakeError, server_certificate
from device_agent.install.openvpn_profile import parse_profile
from device_agent.installation import OPENVPN_FILE

HANDSHAKE_TIMEOUT = 6.0
# X509_V_FLAG_NO_CHECK_TIME of openssl/x509_vfy.h: dates are what is asked for.
_NO_CHECK_TIME = 0x200000


def check_vpn_server(context: CheckContext) -> Finding:
    """Shake hands with the Client VPN endpoint as OpenVPN does, and read until when its certificate is valid."""
    profile = parse_profile(context.system.path(OPENVPN_FILE).read_text("ascii"), OPENVPN_FILE)
    words = profile.directives["remote"][0]
    port = int(words[1]) if len(words) > 1 else 1194
    protocol = words[2] if len(words) > 2 else profile.directives.get("proto", [["udp"]])[0][0]
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    tls.check_hostname = False
    tls.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
    try:
        tls.load_verify_locations(cadata=profile.ca)
        address = remote_addresses(context)[0]
        kind = socket.SOCK_STREAM if protocol.startswith("tcp") else socket.SOCK_DGRAM
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as connection:
            connection.settimeout(HANDSHAKE_TIMEOUT)
            if context.home_interface:
                option = context.home_interface.encode("ascii") + b"\0"
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, option)
            connection.connect((address, port))
            found = server_certificate(connection, tls, timeout=HANDSHAKE_TIMEOUT)
        server = parse_certificate(found, "the server's certificate")
    except (OSError, HandshakeError, CertificateError, LookupError) as error:
        said = getattr(error, "verify_message", None) or getattr(error, "strerror", None) or error
        return Finding(
            "warning",
            f"the Client VPN endpoint's certificate cannot be read: {said}",
            "the tunnel lives, but until when its server's certificate is valid is not known",
            "ask again; compare with the stack's output of expiries",
        )
    now = context.system.now()
    seen = f"{server.subject or server.dns_names[:1]}, by {server.issuer}, is valid until {date(server.not_after)}"
    if now > server.not_after:
        return Finding("failed", seen, "it has expired: the next connection is refused", "renew it: `pulumi up`")
    if server.not_after - now < WARN_DAYS * DAY:
        days = int((server.not_after - now) // DAY)
        return Finding(
            "warning",
            f"{seen}, {days} days",
            "every device of the endpoint falls off the path on that day",
            "renew it: `pulumi up`; no device needs anything for it",
        )
    return Finding("ok", seen)
