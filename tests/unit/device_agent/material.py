"""Identities, bundles and a machine for the agent's tests: real certificates, a folder as root, fake programs."""

from __future__ import annotations

import copy
import datetime
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from device_agent.__main__ import main
from device_agent._exceptions import DeviceAgentError
from device_agent.installation import RESTART_SERVICE
from device_agent.routes import Route
from device_agent.system import Completed, System

NOW = datetime.datetime(2026, 11, 24, 7, 0, tzinfo=datetime.UTC)
ENDPOINT = "abc123-ats.iot.ap-northeast-1.amazonaws.com"
# For what OpenSSL judges by the machine's own clock, whenever the tests run.
FIRST = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
LAST = datetime.datetime(2120, 1, 1, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Identity:
    """A certificate with its key, as objects and as PEM."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()


def issue(
    name: str,
    issuer: Identity | None = None,
    *,
    authority: bool = False,
    not_before: datetime.datetime = NOW - DAY,
    not_after: datetime.datetime = NOW + 365 * DAY,
    usages: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.CLIENT_AUTH,),
    dns_names: Sequence[str] = (),
) -> Identity:
    """Issue a certificate; by itself if there is no issuer."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if not authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    if dns_names:
        names = [x509.DNSName(found) for found in dns_names]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Identity(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def sign(request_pem: str, issuer: Identity, *, not_after: datetime.datetime = NOW + 365 * DAY) -> str:
    """Issue a client's certificate for a request, as a stack does."""
    request = x509.load_pem_x509_csr(request_pem.encode())
    builder = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(issuer.certificate.subject)
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(not_after)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    )
    return builder.sign(issuer.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


@cache
def vpn_authority() -> Identity:
    return issue("VPN authority", authority=True, not_before=FIRST, not_after=LAST)


@cache
def iot_server() -> Identity:
    """AWS IoT's endpoint."""
    usages = (ExtendedKeyUsageOID.SERVER_AUTH,)
    return issue("iot", amazon_root(), not_before=FIRST, not_after=LAST, usages=usages, dns_names=[ENDPOINT])


@cache
def vpn_client() -> Identity:
    return issue("pi-1.vpn", vpn_authority())


@cache
def amazon_root() -> Identity:
    return issue("Amazon-like root", authority=True, not_before=FIRST, not_after=LAST)


@cache
def device(name: str = "pi-1") -> Identity:
    return issue(f"AWS IoT Certificate {name}", amazon_root())


DIRECTIVES = """\
client
dev tun
proto udp
remote cvpn-endpoint-0123456789abcdef0.prod.clientvpn.ap-northeast-1.amazonaws.com 443
remote-random-hostname
resolv-retry infinite
nobind
remote-cert-tls server
cipher AES-256-GCM
verb 3
"""
SCRIPTS = """\
reneg-sec 0

script-security 2
up /etc/openvpn/update-systemd-resolved
down /etc/openvpn/update-systemd-resolved
down-pre
up-restart
"""


def profile(
    *,
    directives: str = DIRECTIVES,
    ca: str | None = None,
    cert: str | None = None,
    key: str | None = None,
    scripts: str = SCRIPTS,
) -> str:
    """Write a profile like the walk-through's."""
    ca = vpn_authority().certificate_pem if ca is None else ca
    cert = vpn_client().certificate_pem if cert is None else cert
    key = vpn_client().key_pem if key is None else key
    return f"{directives}<ca>\n{ca}</ca>\n<key>\n{key}</key>\n<cert>\n{cert}</cert>\n\n{scripts}"


@cache
def _bundle() -> dict[str, Any]:
    return {
        "version": 1,
        "name": "pi-1",
        "region": "ap-northeast-1",
        "vpn": {"config": profile()},
        "iot": {
            "endpoint": ENDPOINT,
            "clientId": "pi-1",
            "certificatePem": device().certificate_pem,
            "privateKeyPem": device().key_pem,
            "rootCaPem": amazon_root().certificate_pem,
        },
        "network": {
            "vpcCidr": "10.0.0.0/16",
            "dnsServer": "10.0.0.2",
            "vpcEndpointId": "vpce-0bae8fd9e8c2b2879",
        },
        "topicPrefix": "pi-1",
    }


def bundle(**changes: object) -> dict[str, Any]:
    """Make a good bundle; a change such as `iot__clientId="x"` sets a field, `...` removes it."""
    made: dict[str, Any] = copy.deepcopy(_bundle())
    for path, value in changes.items():
        *parts, name = path.split("__")
        part = made
        for step in parts:
            part = part[step]
        if value is ...:
            del part[name]
        else:
            part[name] = value
    return made


def message_of(call: Callable[[], object]) -> str:
    """Give the one line of the agent's error that a call raises, or an empty text if it raises none."""
    try:
        call()
    except DeviceAgentError as error:
        return str(error)
    return ""


def encode(document: object) -> bytes:
    return json.dumps(document).encode()


@dataclass
class FakeSession:
    """AWS IoT that echoes, or refuses a step with an error."""

    refuse: dict[str, Exception] = field(default_factory=dict)
    on_message: Callable[[str, bytes], None] | None = None
    calls: list[str] = field(default_factory=list)

    def _step(self, name: str) -> None:
        self.calls.append(name)
        if name in self.refuse:
            raise self.refuse[name]

    def connect(self) -> list[str]:
        self._step("connect")
        return ["10.0.1.105"]

    def subscribe(self, topic: str, on_message: Callable[[str, bytes], None]) -> None:
        self._step("subscribe")
        self.on_message = on_message

    def publish(self, topic: str, payload: bytes) -> None:
        self._step("publish")
        assert self.on_message is not None
        self.on_message(topic, payload)

    def disconnect(self) -> None:
        self.calls.append("disconnect")


@dataclass(frozen=True)
class FakeSystem(System):
    """A machine in a folder: systemd is a table of units, time passes only by waiting."""

    state: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def make(cls, root: Path) -> FakeSystem:
        for folder in ("etc/openvpn/client", "etc/systemd/system", "usr/sbin", "var/lib", "run/systemd/system"):
            (root / folder).mkdir(parents=True)
        (root / "usr/sbin/openvpn").touch()
        script = root / "etc/openvpn/update-systemd-resolved"
        script.touch()
        script.chmod(0o755)
        return cls(
            root=root,
            state={
                "now": NOW.timestamp(),
                "elapsed": 0.0,
                "accounts": {},
                "groups": set(),
                "members": False,
                "user_id": 0,
                "kept": False,
                "enabled": set(),
                "active": set(),
                "fail": {},
                "commands": [],
                "addresses": ["10.0.1.105"],
                "session": FakeSession(),
                "routes": {"10.0.0.2": ("tun0", "172.31.0.34"), "10.0.1.105": ("tun0", "172.31.0.34")},
            },
        )

    def run(
        self,
        argv: Sequence[str],
        *,
        input: str | None = None,  # noqa: A002 - subprocess's own word
        timeout: float = 30,
    ) -> Completed:
        words = list(argv)
        self.state["commands"].append(words)
        fail: dict[str, Completed] = self.state["fail"]
        for prefix, completed in fail.items():
            if " ".join(words).startswith(prefix):
                return completed
        if words[0] == "openssl":
            return super().run(words, input=input, timeout=timeout)
        programs = {
            "systemctl": self._systemctl,
            "useradd": self._useradd,
            "userdel": self._userdel,
            "getent": self._getent,
            "groupdel": self._groupdel,
            "journalctl": self._journalctl,
            "resolvectl": self._resolvectl,
            "busctl": self._busctl,
        }
        return programs[words[0]](words[1:])

    def _systemctl(self, words: list[str]) -> Completed:
        verb, units = words[0], [word for word in words[1:] if not word.startswith("-")]
        enabled, active = self.state["enabled"], self.state["active"]
        if verb in ("is-enabled", "is-active"):
            found = units[0] in (enabled if verb == "is-enabled" else active)
            return Completed(0 if found else 1, f"{verb[3:] if found else 'no'}\n", "")
        if verb == "show":
            state = "active" if units[-1] in active else "inactive"
            return Completed(0, f"ActiveState={state}\nSubState={'running' if state == 'active' else 'dead'}\n", "")
        if verb in ("enable", "disable"):
            (enabled.update if verb == "enable" else enabled.difference_update)(units)
        if verb in ("start", "restart") or (verb == "enable" and "--now" in words):
            if "systemd-resolved.service" in units and self.state.get("resolved_heals"):
                self.state["resolved_deaf"] = False
            # The restart unit waits for the end of this very process.
            active.update(set(units) - {RESTART_SERVICE})
        if verb == "stop" or (verb == "disable" and "--now" in words):
            active.difference_update(units)
        return Completed(0, "", "")

    def _busctl(self, words: list[str]) -> Completed:
        # systemd moves the process into the scope that the words describe.
        self.state["kept"] = "IPAddressDeny" in words
        return Completed(0, "", "")

    def _useradd(self, words: list[str]) -> Completed:
        if "--user-group" in words and words[-1] in self.state["groups"]:
            return Completed(
                9, "", f"useradd: group {words[-1]} exists - if you want to add this user to that group, use -g."
            )
        self.state["groups"].add(words[-1])
        self.state["accounts"][words[-1]] = self.state.get("next_account", (os.getuid(), os.getgid()))
        return Completed(0, "", "")

    def _userdel(self, words: list[str]) -> Completed:
        self.state["accounts"].pop(words[-1], None)
        if not self.state["members"]:
            self.state["groups"].discard(words[-1])
        return Completed(0, "", "")

    def _getent(self, words: list[str]) -> Completed:
        return Completed(0 if words[-1] in self.state["groups"] else 2, "", "")

    def _groupdel(self, words: list[str]) -> Completed:
        self.state["groups"].discard(words[-1])
        return Completed(0, "", "")

    def _journalctl(self, _words: list[str]) -> Completed:
        return Completed(0, self.state.get("journal", ""), "")

    def find_route(self, address: IPv4Address) -> Route | None:
        route = self.state["routes"].get(str(address))
        kind = "tun" if route and route[0].startswith("tun") else ""
        return Route(IPv4Network(address), route[0], kind, route[1]) if route else None

    def list_routes(self) -> list[Route]:
        found: list[Route] = self.state.get("table", [])
        return found

    def set_route(self, network: IPv4Network, gateway: IPv4Address, interface: str) -> None:
        self.state.setdefault("set_routes", []).append((str(network), str(gateway), interface))

    def remove_own_routes(self, keep: IPv4Network | None = None) -> None:
        self.state["set_routes"] = []

    def _resolvectl(self, words: list[str]) -> Completed:
        if self.state.get("resolved_deaf"):
            return Completed(1, "", "Failed to get global data: Could not activate remote peer")
        return Completed(0, self.state.get("resolvectl", {}).get(words[0], ""), "")

    def now(self) -> float:
        return float(self.state["now"])

    def monotonic(self) -> float:
        return float(self.state["elapsed"])

    def wait(self, seconds: float) -> None:
        self.state["elapsed"] += seconds

    def resolve(self, host: str) -> list[str]:
        found = self.state["addresses"]
        if isinstance(found, Exception):
            raise found
        return list(found)

    def try_forbidden_address(self) -> str:
        return "EPERM" if self.state["kept"] else "sent"

    def user_id(self) -> int:
        return int(self.state["user_id"])

    def has_other_users(self) -> bool:
        return bool(self.state.get("other_users", True))

    def closed_folder(self, path: Path) -> Path | None:
        found: Path | None = self.state.get("closed_folder")
        return found

    def set_owner(self, path: Path, user: int, group: int) -> None:
        # Not every number can be given by the user who runs the tests.
        if "owned" in self.state:
            self.state["owned"][str(path)] = (user, group)
        else:
            super().set_owner(path, user, group)

    def account(self, name: str) -> tuple[int, int] | None:
        if name == "root":
            return os.getuid(), os.getgid()
        found: tuple[int, int] | None = self.state["accounts"].get(name)
        return found


def snapshot(root: Path) -> dict[str, tuple[int, object]]:
    """Describe everything under a folder: mode, and content or target."""
    found: dict[str, tuple[int, object]] = {}
    folders = [str(root)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                content: object = None
                if entry.is_symlink():
                    content = os.readlink(entry)  # noqa: PTH115 # hundreds of thousands; Path takes twice the time
                elif entry.is_dir():
                    folders.append(entry.path)
                elif entry.is_file():
                    content = Path(entry).read_bytes()
                found[entry.path.removeprefix(f"{root}/")] = (entry.stat(follow_symlinks=False).st_mode, content)
    return found


def check_refusal(system: FakeSystem, argv: Sequence[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Run a command that must be refused: in one line that says why, with nothing changed."""
    before = snapshot(system.root)
    capsys.readouterr()
    assert main(list(argv), system) == 2
    error = capsys.readouterr().err
    assert why in error
    assert error.count("\n") == 1
    assert snapshot(system.root) == before
