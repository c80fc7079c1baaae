"""doctor: each hop broken in turn, with real sockets, TLS and DNS on the loopback interface.

It cannot prove that a broken tunnel, security group or policy looks like this; the path tests break the real ones.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import json
import os
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID
from device_agent._exceptions import ConnectionFailedError, RefusedError
from device_agent.commands import doctor as doctor_command
from device_agent.commands.doctor import CHECKS
from device_agent.dns import DnsError
from device_agent.doctor import path_checks
from device_agent.doctor.checks import Check, CheckContext, Finding
from device_agent.doctor.openvpn_handshake import HandshakeError, server_certificate
from device_agent.installation import AGENT_SERVICE, OPENVPN_SERVICE
from device_agent.routes import Route
from device_agent.service import NETWORKD_SERVICE, RESOLVED_SERVICE

from device_agent import dns

from .material import DAY, ENDPOINT, FIRST, LAST, NOW, Identity, amazon_root, bundle, iot_server, issue, vpn_authority
from .test_install import Pi, pi

__all__ = ["pi"]
INSIDE, PUBLIC, RESOLVER, HOME_DNS = "127.0.1.105", "127.9.0.7", "127.0.0.2", "192.168.0.1"
LOOPBACK_VPC = {
    "network": {"vpcCidr": "127.0.0.0/16", "dnsServer": RESOLVER, "vpcEndpointId": "vpce-0bae8fd9e8c2b2879"}
}
ACCEPTED, REFUSED = b"\x20\x03\x00\x00\x00", b"\x20\x03\x00\x87\x00"


class TlsServer:
    """A TLS server that answers whatever it reads with fixed bytes, on as many addresses as asked for."""

    def __init__(self, identity: Identity, folder: Path, answer: bytes = b"") -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pem = folder / f"{identity.certificate.serial_number}.pem"
        pem.write_text(identity.certificate_pem + identity.key_pem)
        self.context.load_cert_chain(pem)
        self.answer = answer
        self._stack = ExitStack()
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []

    def listen(self, address: str, port: int = 0) -> int:
        server = self._stack.enter_context(socket.create_server((address, port)))
        self._sockets.append(server)
        thread = threading.Thread(target=self._serve, args=(server,))
        thread.start()
        self._threads.append(thread)
        return int(server.getsockname()[1])

    def _serve(self, server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                try:
                    with self.context.wrap_socket(connection, server_side=True) as channel:
                        if channel.recv(1024) and self.answer:
                            channel.sendall(self.answer)
                except OSError:
                    continue

    def close(self) -> None:
        for server in self._sockets:
            server.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._stack.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., TlsServer]]:
    servers: list[TlsServer] = []

    def start(identity: Identity | None = None, answer: bytes = b"") -> TlsServer:
        servers.append(TlsServer(identity or iot_server(), tmp_path, answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, list[str]]]:
    """The VPC's resolver, with the addresses that it gives; an empty table is a server that stays silent."""
    table = {"addresses": [INSIDE]}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((RESOLVER, 0))
        monkeypatch.setattr(dns, "PORT", server.getsockname()[1])

        def answer() -> None:
            while True:
                packet, client = server.recvfrom(512)
                if packet == b"end":
                    return
                if table:
                    records = [
                        b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(found)
                        for found in table["addresses"]
                    ]
                    header = packet[:2] + struct.pack(">HHHHH", 0x8180, 1, len(records), 0, 0)
                    server.sendto(header + packet[12:] + b"".join(records), client)

        thread = threading.Thread(target=answer)
        thread.start()
        yield table
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"end", server.getsockname())
        thread.join()


class Doctor:
    """A device whose VPC is on the loopback interface."""

    def __init__(self, pi: Pi, server: TlsServer) -> None:
        self.pi = pi
        self.state = pi.system.state
        self.state["addresses"] = [INSIDE]
        self.state["routes"] = {RESOLVER: ("tun0", "172.31.0.34"), INSIDE: ("tun0", "172.31.0.34")}
        everything = IPv4Network("0.0.0.0/0")
        self.state["table"] = [Route(everything, "tun0", "tun"), Route(everything, "lo", metric=100)]
        resolv_conf = f"nameserver 127.0.0.53\nnameserver {RESOLVER}\nnameserver junk\nnameserver {HOME_DNS}\n"
        pi.system.path("/etc/resolv.conf").write_text(resolv_conf)
        assert pi.install(bundle(**LOOPBACK_VPC)) == 0, pi.err
        self.state["active"].discard(AGENT_SERVICE)
        self.port = server.listen(INSIDE)

    def __call__(self, *words: str) -> tuple[int, dict[str, dict[str, str]]]:
        code = self.pi("doctor", "--json", "--port", str(self.port), *words)
        return code, {row["check"]: row for row in json.loads(self.pi.out)["checks"]}

    def blames(self, check: str) -> dict[str, str]:
        """Examine, and insist that this check is the only one that failed, with all after it spared."""
        code, rows = self()
        failed = [name for name, row in rows.items() if row["result"] == "failed"]
        assert (code, failed) == (2, [check]), rows
        assert rows[check]["meaning"]
        assert rows[check]["remedy"]
        for after in CHECKS:
            if check in after.needs:
                assert rows[after.name]["result"] == "skipped"
        return rows[check]


class Home:
    """The home network's DNS: what it says of any name, or how it fails, and what it was asked."""

    def __init__(self) -> None:
        self.answer: list[str] | DnsError = [PUBLIC]
        self.asked: list[tuple[str, str]] = []

    def query(self, server: str, name: str, *, interface: str | None = None) -> list[str]:
        if server == RESOLVER:
            return dns.query(server, name, timeout=0.05)
        assert (server, interface) == (HOME_DNS, "lo")
        self.asked.append((server, name))
        if isinstance(self.answer, DnsError):
            raise self.answer
        return self.answer


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Home:
    network = Home()
    monkeypatch.setattr("device_agent.doctor.home_checks.query", network.query)
    return network


@pytest.fixture
def doctor(
    pi: Pi,
    serve: Callable[..., TlsServer],
    resolver: dict[str, list[str]],
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
) -> Doctor:
    assert home.asked == []
    doctor = Doctor(pi, serve())
    doctor.state["vpn_server"] = issue("server", vpn_authority(), not_before=FIRST, not_after=LAST)

    def shake_hands(*_arguments: object, **_more: object) -> bytes:
        found: Identity | Exception = doctor.state["vpn_server"]
        if isinstance(found, Exception):
            raise found
        return found.certificate.public_bytes(serialization.Encoding.DER)

    monkeypatch.setattr("device_agent.doctor.server_check.server_certificate", shake_hands)
    return doctor


def test_a_healthy_path_is_ok_at_every_hop(doctor: Doctor) -> None:
    code, rows = doctor()
    assert {row["result"] for row in rows.values()} == {"ok"}, rows
    assert code == 0
    assert list(rows) == [check.name for check in CHECKS]
    assert f"Amazon-like root vouches for {ENDPOINT} until " in rows["tls"]["seen"]
    assert rows["resolver"]["seen"] == f"{ENDPOINT} is {INSIDE}, inside 127.0.0.0/16"


def test_the_plain_report_has_a_line_for_each_check_and_no_colour(doctor: Doctor) -> None:
    assert doctor.pi("doctor", "--port", str(doctor.port)) == 0
    lines = doctor.pi.out.splitlines()
    assert [line.split()[:2] for line in lines[:-1]] == [["ok", check.name] for check in CHECKS]
    assert lines[-1] == "the private path is healthy"
    assert "\033" not in doctor.pi.out


class Stream(io.StringIO):
    """A standard error that tells when something has been written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def write(self, text: str) -> int:
        self.written.set()
        return super().write(text)


def test_a_check_that_takes_a_while_says_that_it_goes_on(monkeypatch: pytest.MonkeyPatch, doctor: Doctor) -> None:
    stream = Stream()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(doctor_command, "TELL_AFTER", 0.01)

    def wait_for_the_line(_context: CheckContext) -> Finding:
        return Finding("ok" if stream.written.wait(20) else "failed", "")

    monkeypatch.setattr(doctor_command, "CHECKS", (Check("files", "", wait_for_the_line),))
    assert doctor.pi("doctor") == 0
    assert stream.getvalue().splitlines()[0] == "files: still waiting for an answer"


def test_every_check_stands_on_checks_before_it() -> None:
    seen: set[str] = set()
    for check in CHECKS:
        assert set(check.needs) <= seen
        seen.add(check.name)


def test_an_open_key_is_blamed_on_the_files(doctor: Doctor) -> None:
    doctor.pi.system.path("/etc/private-iot/slots/a/private-key.pem").chmod(0o640)
    row = doctor.blames("files")
    assert "has mode 0640, so that others can read it" in row["seen"]
    assert row["remedy"] == "`chmod 600 /etc/private-iot/private-key.pem`"


def test_without_an_installation_everything_is_spared_but_the_files(pi: Pi) -> None:
    assert pi("doctor", "--json") == 2
    rows = json.loads(pi.out)["checks"]
    assert [row["result"] for row in rows] == ["failed"] + ["skipped"] * (len(CHECKS) - 1)
    assert rows[0]["remedy"] == "install the device's bundle again with `device-agent install -`"


def test_a_tampered_profile_is_blamed_on_the_files(doctor: Doctor) -> None:
    file = doctor.pi.system.path("/etc/private-iot/slots/a/clientvpn.conf")
    file.write_text(file.read_text() + "up /bin/sh\n")
    assert "'up' has an argument that is refused" in doctor.blames("files")["seen"]


def test_a_wrong_clock_is_blamed_on_the_certificates(doctor: Doctor) -> None:
    doctor.state["now"] = (NOW - 400 * DAY).timestamp()
    row = doctor.blames("certificates")
    assert "is not valid before 2026-11-23 07:00 UTC" in row["seen"]
    assert "timedatectl" in row["remedy"]


def test_a_certificate_that_expires_within_30_days_is_a_warning(doctor: Doctor) -> None:
    doctor.state["now"] = (NOW + 340 * DAY).timestamp()
    code, rows = doctor()
    assert code == 1
    assert rows["certificates"]["result"] == "warning"
    assert rows["certificates"]["seen"].endswith(", in 25 days")
    assert rows["echo"]["result"] == "ok"


def test_a_stopped_tunnel_is_blamed_on_its_service(doctor: Doctor) -> None:
    doctor.state["active"].discard(OPENVPN_SERVICE)
    assert doctor.blames("tunnel")["seen"] == f"{OPENVPN_SERVICE} is inactive (dead)"


def test_a_home_network_inside_the_vpc_is_named_and_not_the_tunnel(doctor: Doctor) -> None:
    doctor.state["routes"][RESOLVER] = ("wlan0", "127.0.0.57")
    doctor.state["table"].append(Route(IPv4Network("127.0.0.0/24"), "wlan0"))
    row = doctor.blames("interface")
    assert row["seen"].startswith("a route of another network covers the VPC: 127.0.0.0/24 through wlan0 lies in ")
    assert "home router" in row["remedy"]


def test_a_tunnel_that_will_not_start_at_boot_is_a_warning(doctor: Doctor) -> None:
    doctor.state["enabled"].discard(OPENVPN_SERVICE)
    code, rows = doctor()
    assert (code, rows["tunnel"]["result"]) == (1, "warning")


@pytest.mark.parametrize("route", [None, ("wlan0", "192.168.0.5")])
def test_a_tunnel_without_an_interface_is_blamed_on_it(doctor: Doctor, route: tuple[str, str] | None) -> None:
    if route:
        doctor.state["routes"][RESOLVER] = route
    else:
        del doctor.state["routes"][RESOLVER]
    doctor.state["journal"] = "RESOLVE: Cannot resolve host address\n"
    how = "is reached through wlan0 from 192.168.0.5" if route else "has no route"
    seen = doctor.blames("interface")["seen"]
    assert seen == f"{RESOLVER} {how}; OpenVPN says: RESOLVE: Cannot resolve host address"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for no DNS server longer than a moment."""
    for module in ("device_checks", "path_checks"):
        monkeypatch.setattr(
            f"device_agent.doctor.{module}.query",
            lambda server, name, **_more: dns.query(server, name, timeout=0.002),
        )


RECONNECTING = """\
[server] Inactivity timeout (--ping-restart), restarting
SIGUSR1[soft,ping-restart] received, process restarting
UDPv4 link remote: [AF_INET]203.0.113.9:443
"""


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("start", ["Initialization Sequence Completed\n", "OpenVPN 2.6.14 aarch64\n"])
def test_a_tunnel_that_is_reconnecting_is_told_from_its_interface_that_stays(
    doctor: Doctor, resolver: dict[str, list[str]], start: str
) -> None:
    resolver.clear()
    doctor.state["journal"] = start + RECONNECTING if "OpenVPN" not in start else start + RECONNECTING.splitlines()[-1]
    row = doctor.blames("interface")
    assert row["seen"].endswith("but OpenVPN is not connected: UDPv4 link remote: [AF_INET]203.0.113.9:443")


@pytest.mark.usefixtures("impatient")
def test_openvpn_gets_the_time_of_its_ping_restart_to_notice_a_dead_tunnel(
    doctor: Doctor, resolver: dict[str, list[str]]
) -> None:
    resolver.clear()
    doctor.state["addresses"] = socket.gaierror(-3, "Temporary failure in name resolution")
    doctor.state["journal"] = "Timers: ping 1, ping-restart 20\nInitialization Sequence Completed\n"
    doctor.blames("resolver")
    assert "OpenVPN gets 35 s to notice a dead tunnel" in doctor.pi.err
    assert doctor.pi.system.monotonic() == 35


@pytest.mark.usefixtures("impatient")
def test_a_tunnel_that_has_reconnected_is_not_blamed_for_a_silent_resolver(
    doctor: Doctor, resolver: dict[str, list[str]]
) -> None:
    resolver.clear()
    doctor.state["addresses"] = socket.gaierror(-3, "Temporary failure in name resolution")
    doctor.state["journal"] = f"{RECONNECTING}Initialization Sequence Completed\n"
    doctor.blames("resolver")


def test_a_home_network_without_a_default_route_is_blamed(doctor: Doctor) -> None:
    doctor.state["table"] = [Route(IPv4Network("0.0.0.0/0"), "tun0", "tun")]
    assert doctor.blames("home")["seen"] == "there is no default route besides the tunnel"


@pytest.mark.usefixtures("impatient")
def test_a_home_network_without_dns_is_blamed_when_the_tunnel_is_dead_too(
    doctor: Doctor, home: Home, resolver: dict[str, list[str]]
) -> None:
    home.answer = DnsError(f"{HOME_DNS} does not answer")
    resolver.clear()
    assert doctor.blames("home")["seen"] == f"lo is up, but its DNS fails: {HOME_DNS} does not answer"


def test_a_home_network_without_dns_is_a_warning_while_the_tunnel_lives(doctor: Doctor, home: Home) -> None:
    home.answer = DnsError(f"{HOME_DNS} does not answer")
    code, rows = doctor()
    assert (code, rows["home"]["result"], rows["echo"]["result"]) == (1, "warning", "ok")


def test_a_client_vpn_endpoint_that_is_gone_is_blamed_on_the_bundle(doctor: Doctor, home: Home) -> None:
    home.answer = []
    row = doctor.blames("home")
    assert ".cvpn-endpoint-0123456789abcdef0.prod.clientvpn.ap-northeast-1.amazonaws.com" in row["seen"]


def test_a_resolver_that_is_not_asked_is_told_from_one_that_is_wrong(doctor: Doctor) -> None:
    doctor.state["addresses"] = [PUBLIC]
    row = doctor.blames("resolver")
    assert row["seen"] == f"{ENDPOINT} is {PUBLIC}; {RESOLVER} itself says {INSIDE}"
    assert row["meaning"] == "the VPC's resolver is right, but this device does not ask it"


def test_one_ipv6_answer_is_enough_to_fail_the_resolver(doctor: Doctor) -> None:
    doctor.state["addresses"] = [INSIDE, "2001:db8::1"]
    doctor.blames("resolver")


@pytest.mark.parametrize("answers", [[PUBLIC], []])
def test_a_missing_record_is_blamed_on_the_private_hosted_zone(
    doctor: Doctor, resolver: dict[str, list[str]], answers: list[str]
) -> None:
    doctor.state["addresses"] = answers or socket.gaierror(-2, "Name or service not known")
    resolver["addresses"] = answers
    assert doctor.blames("resolver")["remedy"].startswith("check the private hosted zone")


@pytest.mark.usefixtures("impatient")
def test_a_silent_resolver_is_blamed_on_the_authorization(doctor: Doctor, resolver: dict[str, list[str]]) -> None:
    doctor.state["addresses"] = socket.gaierror(-3, "Temporary failure in name resolution")
    resolver.clear()
    row = doctor.blames("resolver")
    assert "asked directly: 127.0.0.2 does not answer" in row["seen"]
    assert "authorization rules" in row["remedy"]


def test_a_resolver_whose_port_is_closed_is_told_from_a_silent_one(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    doctor.state["addresses"] = socket.gaierror(-3, "Temporary failure in name resolution")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((RESOLVER, 0))
        monkeypatch.setattr(dns, "PORT", free.getsockname()[1])
    assert doctor.blames("resolver")["meaning"] == "the VPC's resolver can be reached, but does not serve"


def test_a_busy_service_is_told_from_a_refusal(doctor: Doctor) -> None:
    doctor.state["session"].refuse = {"connect": RefusedError("the service is unavailable", 0x88)}
    assert doctor.blames("mqtt")["remedy"] == "wait and ask again"


def test_a_closed_port_is_blamed_on_tcp(doctor: Doctor) -> None:
    with socket.create_server((INSIDE, 0)) as free:
        doctor.port = free.getsockname()[1]
    row = doctor.blames("tcp")
    assert row["seen"] == f"{INSIDE} port {doctor.port}: Connection refused"
    assert "security groups" in row["remedy"]


def test_a_route_beside_the_tunnel_is_blamed_on_tcp(doctor: Doctor) -> None:
    doctor.state["routes"][INSIDE] = ("wlan0", "192.168.0.5")
    assert doctor.blames("tcp")["seen"] == f"{INSIDE} is reached through wlan0"


def issue_server(issuer: Identity | None, *, name: str = ENDPOINT, last: datetime.datetime = LAST) -> Identity:
    usages = (ExtendedKeyUsageOID.SERVER_AUTH,)
    return issue("iot", issuer, not_before=FIRST, not_after=last, usages=usages, dns_names=[name])


@pytest.mark.parametrize(
    ("identity", "seen"),
    [
        (lambda: issue_server(None), "self-signed certificate; the server shows"),
        (
            lambda: issue_server(amazon_root(), name="other.example"),
            "the server shows other.example, issued by Amazon-like root",
        ),
        (
            lambda: issue_server(amazon_root(), last=NOW - 800 * DAY),
            "certificate has expired; the server shows",
        ),
    ],
    ids=["unknown authority", "other name", "expired"],
)
def test_a_server_that_is_not_the_endpoint_is_blamed_on_tls_with_its_names_and_dates(
    doctor: Doctor, serve: Callable[..., TlsServer], identity: Callable[[], Identity], seen: str
) -> None:
    doctor.port = serve(identity()).listen(INSIDE)
    row = doctor.blames("tls")
    assert seen in row["seen"]
    assert ", valid from " in row["seen"]


def test_a_port_that_speaks_no_tls_is_blamed_on_tls(doctor: Doctor) -> None:
    with socket.create_server((INSIDE, 0)) as server:
        doctor.port = server.getsockname()[1]

        def greet() -> None:
            for _connection in range(2):
                connection, _ = server.accept()
                with connection:
                    connection.sendall(b"SSH-2.0-OpenSSH\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        doctor.blames("tls")
        thread.join()


def test_a_line_that_drops_large_packets_is_proven(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The server stays silent unless the connection's segments are small, as if its certificate were dropped."""
    server = TlsServer(iot_server(), tmp_path)
    monkeypatch.setattr(path_checks, "CONNECT_TIMEOUT", 0.5)
    serve = server.context.wrap_socket

    def wrap(connection: socket.socket, **options: Any) -> ssl.SSLSocket:
        if connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG) > 900:
            while connection.recv(4096):
                pass
            raise OSError("nothing came through")
        return serve(connection, **options)

    monkeypatch.setattr(server.context, "wrap_socket", wrap)
    doctor.port = server.listen(INSIDE)
    row = doctor.blames("tls")
    server.close()
    assert row["seen"] == "TCP stands, but the handshake gets no answer; held to segments of 900 bytes it succeeds"
    assert "mssfix" in row["remedy"]


def test_a_refused_connection_is_blamed_on_mqtt(doctor: Doctor) -> None:
    doctor.state["session"].refuse = {"connect": ConnectionFailedError("not authorized [reason code 0x87]")}
    row = doctor.blames("mqtt")
    assert row["seen"] == "not authorized [reason code 0x87]"
    assert "vpce-0bae8fd9e8c2b2879" in row["remedy"]


@pytest.mark.parametrize("step", ["subscribe", "publish"])
def test_a_refused_topic_is_blamed_on_the_echo(doctor: Doctor, step: str) -> None:
    doctor.state["session"].refuse = {step: ConnectionFailedError("refused")}
    assert "pi-1/*" in doctor.blames("echo")["remedy"]


def test_a_running_agent_is_paused_for_the_examination(doctor: Doctor) -> None:
    doctor.state["active"].add(AGENT_SERVICE)
    code, _rows = doctor()
    assert code == 0
    assert ["systemctl", "stop", AGENT_SERVICE] in doctor.state["commands"]
    assert AGENT_SERVICE in doctor.state["active"]


class PublicWay:
    """The endpoint's public address, behind the home network."""

    def __init__(self, doctor: Doctor) -> None:
        self.doctor = doctor

    def examine(self, server: TlsServer | None) -> dict[str, str]:
        if server:
            server.listen(PUBLIC, self.doctor.port)
        code, rows = self.doctor()
        assert code == {"ok": 0, "warning": 1, "failed": 2}[rows["public-way"]["result"]]
        return rows["public-way"]


@pytest.fixture
def public_way(doctor: Doctor) -> PublicWay:
    return PublicWay(doctor)


def test_a_refused_public_way_is_ok(public_way: PublicWay, serve: Callable[..., TlsServer]) -> None:
    row = public_way.examine(serve(answer=REFUSED))
    assert row["seen"] == f"{PUBLIC} through lo, outside the tunnel: refused (CONNACK 0x87)"


def test_a_public_way_that_hangs_up_is_ok(public_way: PublicWay, serve: Callable[..., TlsServer]) -> None:
    assert public_way.examine(serve())["seen"].endswith("refused (hung up)")


def test_a_public_way_that_cannot_be_reached_is_ok(public_way: PublicWay) -> None:
    assert public_way.examine(None)["seen"].endswith("Connection refused")


def test_an_open_public_way_is_broken(public_way: PublicWay, serve: Callable[..., TlsServer]) -> None:
    row = public_way.examine(serve(answer=ACCEPTED))
    assert row["result"] == "failed"
    assert row["remedy"] == "bind every statement of the IoT policy to aws:SourceVpce vpce-0bae8fd9e8c2b2879"


def test_something_else_on_the_public_way_is_a_warning(public_way: PublicWay, serve: Callable[..., TlsServer]) -> None:
    row = public_way.examine(serve(issue_server(None), REFUSED))
    assert row["result"] == "warning"


def test_the_public_way_can_be_left_alone(public_way: PublicWay, home: Home) -> None:
    _code, rows = public_way.doctor("--no-public-way")
    assert "public-way" not in rows
    assert (HOME_DNS, ENDPOINT) not in home.asked


def test_a_public_address_that_is_not_known_is_a_warning(public_way: PublicWay) -> None:
    public_way.doctor.pi.system.path("/etc/resolv.conf").write_text("nameserver 127.0.0.53\n")
    code, rows = public_way.doctor()
    assert (code, rows["public-way"]["result"]) == (1, "warning")
    assert "no DNS server of the home network is known" in rows["public-way"]["seen"]


class Agent:
    """A running agent's socket: connected, and echoing unless told otherwise."""

    def __init__(self, file: Path) -> None:
        self.connected = True
        self.kernel = "EPERM"
        self.refusal: dict[str, Any] | None = None
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        file.parent.mkdir(parents=True, exist_ok=True)
        self._server.bind(str(file))
        self._server.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as lines:
                for line in lines:
                    for answer in self._answers(json.loads(line)):
                        lines.write(json.dumps(answer).encode() + b"\n")
                    lines.flush()

    def _answers(self, request: dict[str, Any]) -> list[dict[str, Any]]:
        if request["command"] == "status":
            since = "2026-11-24T07:00:00Z"
            connection = {"connected": self.connected, "addresses": [INSIDE], "since": since, "lastError": "gone"}
            return [{"ok": True, "status": {"connection": connection}}]
        if request["command"] == "try-forbidden-address":
            return [{"ok": True, "answer": self.kernel}] if self.kernel else [{"ok": False, "error": "not known"}]
        if self.refusal is not None:
            return [self.refusal]
        if request["command"] == "subscribe":
            return [{"ok": True}, {"event": "subscribed", "filter": "pi-1/echo"}]
        other = {"event": "message", "topic": "pi-1/echo", "payload": "another's", "properties": {}}
        return [{"ok": True}, other, {**other, "payload": request["payload"]}]

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._server.close()


@pytest.fixture
def agent(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    file = tmp_path_factory.mktemp("a") / "agent.sock"
    monkeypatch.setattr(
        "device_agent.doctor.agent_checks.AGENT_SOCKET", f"/../{os.path.relpath(file, doctor.pi.system.root.parent)}"
    )
    doctor.state["active"].add(AGENT_SERVICE)
    running = Agent(file)
    yield running
    running.close()


def test_a_connected_agent_is_asked_and_not_interrupted(doctor: Doctor, agent: Agent) -> None:
    code, rows = doctor()
    assert (code, {row["result"] for row in rows.values()}) == (0, {"ok"}), (rows, agent)
    seen = f"the agent is connected to {INSIDE} since 2026-11-24T07:00:00Z"
    assert rows["mqtt"]["seen"] == f"{seen}; the kernel refuses it any other address (EPERM)"
    assert rows["echo"]["seen"] == "a message to 'pi-1/echo' came back through the agent"
    assert ["systemctl", "stop", AGENT_SERVICE] not in doctor.state["commands"]
    assert doctor.state["session"].calls == []


@pytest.mark.parametrize(
    ("kernel", "said"),
    [
        ("sent", "no rule of the kernel keeps it from other addresses"),
        ("ENETUNREACH", "what the kernel does about other addresses is not known (ENETUNREACH)"),
        ("", "what the kernel does about other addresses is not known (the agent is of an earlier release)"),
    ],
)
def test_what_the_kernel_does_about_other_addresses_is_said(
    doctor: Doctor, agent: Agent, kernel: str, said: str
) -> None:
    agent.kernel = kernel
    assert doctor()[1]["mqtt"]["seen"].endswith(f"; {said}")


def test_an_agent_that_is_not_connected_is_paused_and_its_part_played(
    doctor: Doctor, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent.connected = False
    kept: list[bool] = []

    def connect() -> list[str]:
        kept.append(doctor.state["kept"])
        return ["10.0.1.105"]

    monkeypatch.setattr(doctor.state["session"], "connect", connect)
    code, rows = doctor()
    assert code == 0
    assert rows["mqtt"]["seen"].startswith("connected to 10.0.1.105 as pi-1 in ")
    assert rows["mqtt"]["seen"].endswith("; the kernel refuses it any other address (EPERM)")
    assert kept == [True, True], "it connects without the rule"
    assert doctor.state["kept"] is False, "the check of the public way is kept from it"
    assert ["systemctl", "stop", AGENT_SERVICE] in doctor.state["commands"]


@pytest.mark.parametrize(
    "refusal", [{"event": "refused", "error": "not authorized"}, {"ok": False, "error": "not authorized"}]
)
def test_a_refusal_that_the_agent_hears_is_blamed_on_the_echo(
    doctor: Doctor, agent: Agent, refusal: dict[str, Any]
) -> None:
    agent.refusal = refusal
    assert doctor.blames("echo")["seen"] == "not authorized"


@pytest.mark.parametrize(
    ("code", "remedy"),
    [("storage", "df -h /var/lib/private-iot`: make room"), ("full", "wait until it is sent")],
)
def test_a_disk_or_queue_that_takes_nothing_is_blamed_for_a_missing_echo(
    doctor: Doctor, agent: Agent, code: str, remedy: str
) -> None:
    agent.refusal = {"ok": False, "code": code, "error": "database or disk is full"}
    blamed = doctor.blames("echo")
    assert blamed["seen"] == "database or disk is full"
    assert remedy in blamed["remedy"]
    assert "policy" not in blamed["remedy"]


def test_an_echo_that_stays_away_is_blamed_on_the_echo(
    doctor: Doctor, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("device_agent.doctor.agent_checks._ANSWER_TIMEOUT", 0.2)
    agent.refusal = {"event": "other"}
    assert doctor.blames("echo")["seen"] == "the agent's echo did not come back within 0.2 s"


def test_the_vpn_servers_certificate_is_read_in_the_handshake_and_warned_of_thirty_days_ahead(doctor: Doctor) -> None:
    code, rows = doctor()
    assert code == 0
    assert rows["vpn-server"]["seen"] == "server, by VPN authority, is valid until 2120-01-01 00:00 UTC"
    doctor.state["vpn_server"] = issue("server", vpn_authority(), not_after=NOW + 29 * DAY)
    code, rows = doctor()
    assert (code, rows["vpn-server"]["result"]) == (1, "warning")
    assert rows["vpn-server"]["seen"].endswith("is valid until 2026-12-23 07:00 UTC, 29 days")
    assert rows["vpn-server"]["remedy"] == "renew it: `pulumi up`; no device needs anything for it"
    doctor.state["vpn_server"] = issue("server", vpn_authority(), not_before=FIRST, not_after=NOW - DAY)
    code, rows = doctor()
    assert (code, rows["vpn-server"]["result"]) == (2, "failed")


@pytest.mark.parametrize("error", [HandshakeError("no whole handshake"), OSError(111, "Connection refused")])
def test_a_vpn_server_that_does_not_answer_leaves_its_end_unknown(doctor: Doctor, error: Exception) -> None:
    doctor.state["vpn_server"] = error
    code, rows = doctor()
    assert (code, rows["vpn-server"]["result"]) == (1, "warning")
    assert "certificate cannot be read: " in rows["vpn-server"]["seen"]


def test_a_resolver_that_does_not_answer_on_the_bus_is_named_with_its_remedy(doctor: Doctor) -> None:
    doctor.state["active"].add(RESOLVED_SERVICE)
    doctor.state["resolved_deaf"] = True
    row = doctor.blames("home")
    assert row["seen"] == f"{RESOLVED_SERVICE} does not answer on the bus (`resolvectl status`)"
    assert row["remedy"] == f"`sudo systemctl restart {RESOLVED_SERVICE}`"


def test_a_resolver_that_demands_tls_of_the_vpcs_is_named(doctor: Doctor) -> None:
    doctor.state["addresses"] = OSError(-2, "Name or service not known")
    doctor.state["resolvectl"] = {"dnsovertls": "Global: yes\nLink 2 (wlan0): yes\nLink 3 (tun0): yes\n"}
    row = doctor.blames("resolver")
    assert "asks it with TLS, which it does not speak (DNSOverTLS=yes)" in row["meaning"]
    doctor.state["resolvectl"] = {"dnsovertls": "Global: opportunistic\nLink 3 (tun0): opportunistic\n"}
    assert "this device does not ask it" in doctor.blames("resolver")["meaning"]


def test_a_networkd_that_removes_the_tunnels_routes_is_named(doctor: Doctor) -> None:
    doctor.state["routes"] = {}
    doctor.state["table"] = [Route(IPv4Network("0.0.0.0/0"), "lo", metric=100)]
    doctor.state["journal"] = "Initialization Sequence Completed\n"
    doctor.state["active"].add(NETWORKD_SERVICE)
    assert "`Unmanaged=yes`" in doctor.blames("interface")["remedy"]


def test_a_queue_in_memory_is_a_warning(doctor: Doctor) -> None:
    for path, text in (("/proc/self/mounts", "overlay / overlay rw 0 0\n"), ("/proc/cmdline", "boot=overlay\n")):
        doctor.pi.system.path(path).parent.mkdir(parents=True, exist_ok=True)
        doctor.pi.system.path(path).write_text(text)
    code, rows = doctor()
    assert (code, rows["files"]["result"]) == (1, "warning")
    assert rows["files"]["seen"].endswith("; the queue is on an overlay in memory")


class LossyServer:
    """OpenVPN's side of a handshake over UDP, on which every third packet is lost."""

    def __init__(self, identity: Identity, folder: Path, *, loss: int) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pem = folder / "vpn-server.pem"
        pem.write_text(identity.certificate_pem + identity.key_pem)
        context.load_cert_chain(pem)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._channel = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._loss, self._count = loss, 0
        self._sent: dict[int, tuple[int, bytes]] = {}
        self._next = self._expected = 0
        self._early: dict[int, bytes] = {}
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def address(self) -> tuple[str, int]:
        address: tuple[str, int] = self._socket.getsockname()
        return address

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"end", self.address)
        self._thread.join()
        self._socket.close()

    def _lost(self) -> bool:
        self._count += 1
        return bool(self._loss) and self._count % self._loss == 0

    def _serve(self) -> None:
        while True:
            packet, client = self._socket.recvfrom(4096)
            if packet == b"end":
                return
            if not self._lost():
                self._take(packet, client)

    def _take(self, packet: bytes, client: Any) -> None:
        peer, count = packet[1:9], packet[9]
        for number in struct.unpack(f">{count}L", packet[10 : 10 + 4 * count]):
            self._sent.pop(number, None)
        if packet[0] >> 3 == 5:
            return
        rest = packet[10 + 4 * count + (8 if count else 0) :]
        number = struct.unpack(">L", rest[:4])[0]
        self._early.setdefault(number, rest[4:])
        if number == 0 and not self._next:
            self._queue(8, b"")
        while self._expected in self._early:
            self._incoming.write(self._early.pop(self._expected))
            self._expected += 1
        with contextlib.suppress(ssl.SSLWantReadError):
            self._channel.do_handshake()
        while self._outgoing.pending:
            self._queue(4, self._outgoing.read(700))
        acknowledged = struct.pack(">BL8s", 1, number, peer)
        for waiting, (opcode, piece) in list(self._sent.items()):
            head = struct.pack(">B8s", opcode << 3, b"server-1") + acknowledged + struct.pack(">L", waiting)
            if not self._lost():
                self._socket.sendto(head + piece, client)
        if not self._sent:
            self._socket.sendto(struct.pack(">B8s", 5 << 3, b"server-1") + acknowledged, client)

    def _queue(self, opcode: int, piece: bytes) -> None:
        self._sent[self._next] = (opcode, piece)
        self._next += 1


@pytest.mark.parametrize("loss", [0, 4])
def test_the_handshake_gives_the_servers_certificate_also_when_packets_are_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: int
) -> None:
    monkeypatch.setattr("device_agent.doctor.openvpn_handshake._AGAIN", 0.05)
    usages = (ExtendedKeyUsageOID.SERVER_AUTH,)
    identity = issue("server", vpn_authority(), not_before=FIRST, not_after=LAST, usages=usages)
    server = LossyServer(identity, tmp_path, loss=loss)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(cadata=vpn_authority().certificate_pem)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
            connection.connect(server.address)
            found = server_certificate(connection, context, timeout=30)
    finally:
        server.close()
    assert found == identity.certificate.public_bytes(serialization.Encoding.DER)


def test_what_answers_in_other_words_than_openvpns_is_told() -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    mine, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with mine, peer:
        peer.send(b"\xff" + bytes(30))
        with pytest.raises(HandshakeError, match="kind 31"):
            server_certificate(mine, context, timeout=1)
        for garbage in (b"", b"\x40" + bytes(9), b"\x40" + b"\xff" * 20):
            peer.send(garbage)
        with pytest.raises(HandshakeError):
            server_certificate(mine, context, timeout=0.3)
