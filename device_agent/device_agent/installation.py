"""What `device-agent install` left on the device, read back by every other command."""

from __future__ import annotations

import contextlib
import json
import stat
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from device_agent import hop
from device_agent._exceptions import InstallationError
from device_agent.hop import Hop, hop_of
from device_agent.system import System

USER = "private-iot"
"""The account that the agent's service runs as, and that owns the device's private key."""
DIRECTORY = "/etc/private-iot"
SETTINGS_FILE = f"{DIRECTORY}/agent.toml"
DEVICE_KEYS_DIRECTORY = f"{DIRECTORY}/keys"
"""The keys that `request` made on this device."""
DEVICE_FILE = f"{DIRECTORY}/device.json"
CERTIFICATE_FILE = f"{DIRECTORY}/certificate.pem"
PRIVATE_KEY_FILE = f"{DIRECTORY}/private-key.pem"
ROOT_CA_FILE = f"{DIRECTORY}/root-ca.pem"
OPENVPN_FILE = hop.OPENVPN_FILE
OPENVPN_FILE_BEFORE = f"{OPENVPN_FILE}.before-private-iot"
"""A profile that was there before; `uninstall` puts it back."""
PROFILE_DIRECTORY = "/etc/openvpn/private-iot"
"""Where the profiles themselves are: Ubuntu's AppArmor profile lets OpenVPN read /etc/openvpn and no other place."""
OPENVPN_SERVICE = hop.OPENVPN_SERVICE
OPENVPN_DROP_IN = hop.OPENVPN_DROP_IN
MANAGEMENT_SOCKET = "/run/openvpn/private-iot.status"
"""OpenVPN's management interface, for the agent's user. The name's end is one that Ubuntu's AppArmor profile of openvpn
lets it make there (/etc/apparmor.d/openvpn: `/{,var/}run/openvpn/*.{pid,status}`)."""
TRIAL_FILE = "/etc/openvpn/client/clientvpn_trial.conf"
TRIAL_SERVICE = "openvpn-client@clientvpn_trial.service"
RESTART_SERVICE = "private-iot-restart.service"
RESTART_UNIT = f"/run/systemd/system/{RESTART_SERVICE}"
RENEWAL_SERVICE = "private-iot-renewal.service"
RENEWAL_UNIT = f"/etc/systemd/system/{RENEWAL_SERVICE}"
FETCH_UNIT = "/etc/systemd/system/private-iot-fetch.service"
FETCH_TIMER = "/etc/systemd/system/private-iot-fetch.timer"
FETCH_ENVIRONMENT = f"{DIRECTORY}/fetch.env"
AGENT_SERVICE = "private-iot-agent.service"
AGENT_UNIT = f"/etc/systemd/system/{AGENT_SERVICE}"
NEIGHBOUR_SERVICE = hop.NEIGHBOUR_SERVICE
NEIGHBOUR_UNIT = hop.NEIGHBOUR_UNIT
NEIGHBOUR_TRIAL_SERVICE = "private-iot-neighbour-trial.service"
NEIGHBOUR_TRIAL_UNIT = f"/run/systemd/system/{NEIGHBOUR_TRIAL_SERVICE}"
HOSTS_FILE = "/etc/hosts"
GATEWAY_SERVICE = "private-iot-gateway.service"
GATEWAY_UNIT = f"/etc/systemd/system/{GATEWAY_SERVICE}"
GATEWAY_DNS_SERVICE = "private-iot-gateway-dns.service"
GATEWAY_DNS_UNIT = f"/etc/systemd/system/{GATEWAY_DNS_SERVICE}"
GATEWAY_FILE = f"{DIRECTORY}/gateway.json"
GATEWAY_RULES_FILE = f"{DIRECTORY}/gateway.nft"
GATEWAY_DNS_FILE = f"{DIRECTORY}/gateway-dns.conf"
TUNNEL_RULE = "/etc/polkit-1/rules.d/50-private-iot.rules"
STATE_DIRECTORY = "/var/lib/private-iot"
QUEUE_FILE = f"{STATE_DIRECTORY}/queue.sqlite3"
DELIVERED_FILE = f"{STATE_DIRECTORY}/delivered-certificates.json"
"""A certificate that came over MQTT, as it came."""
RENEWAL_FILE = f"{STATE_DIRECTORY}/renewal.json"
"""What became of it."""
RUNTIME_DIRECTORY = "/run/private-iot"

DEVICE_FILE_VERSION = 1
GATEWAY_DEVICE_FILE_VERSION = 2
"""Of a device without a tunnel, which releases that know only tunnels refuse."""
_REMEDY = "install the device's bundle again with `device-agent install -`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """The device's identity and its place on the private path.

    Attributes:
        name: The device's name, which is its thing's name.
        region: The AWS Region, such as `ap-northeast-1`.
        endpoint: The account's ATS data endpoint, `…-ats.iot.REGION.amazonaws.com`.
        client_id: The MQTT client ID that the IoT policy allows.
        certificate_file: PEM of the device's certificate (as the system sees it, with the root in front).
        private_key_file: PEM of its private key.
        root_ca_file: PEM of the certificate authorities to trust, or None for the system's.
        vpc_cidr: The only addresses that the agent connects to.
        dns_server: The VPC's resolver.
        vpc_endpoint_id: The interface endpoint that the policy is bound to, `vpce-…`.
        topic_prefix: What the device's topics begin with, without a slash at the end.
        gateways: The gateways of the LAN that the device reaches the VPC through; none: its own tunnel.
    """

    name: str
    region: str
    endpoint: str
    client_id: str
    certificate_file: Path
    private_key_file: Path
    root_ca_file: Path | None
    vpc_cidr: IPv4Network
    dns_server: IPv4Address
    vpc_endpoint_id: str
    topic_prefix: str
    gateways: tuple[IPv4Address, ...] = ()

    @property
    def hop(self) -> Hop:
        """The first hop towards the VPC."""
        return hop_of(self.gateways)

    @classmethod
    def load(cls, system: System, directory: str = DIRECTORY, *, use_key: bool = True) -> Installation:
        """Read and check /etc/private-iot.

        Args:
            system: The machine to read from.
            directory: Where the files are, if elsewhere: a bundle that is still on trial.
            use_key: Whether the private key is of use; without it, nobody has to be able to read it.

        Returns:
            The installation.

        Raises:
            InstallationError: A file is missing, malformed, unreadable for this user, or open to other users.
        """
        document = _read_document(system, directory)
        certificate, private_key, root_ca = (
            f"{directory}/{Path(file).name}" for file in (CERTIFICATE_FILE, PRIVATE_KEY_FILE, ROOT_CA_FILE)
        )
        check_file(system, certificate, secret=False)
        if use_key:
            check_file(system, private_key, secret=True)
        trusts_own_roots = system.path(root_ca).exists()
        if trusts_own_roots:
            check_file(system, root_ca, secret=False)
        try:
            return cls(
                name=_text_field(document, "name"),
                region=_text_field(document, "region"),
                endpoint=_text_field(document, "endpoint"),
                client_id=_text_field(document, "clientId"),
                certificate_file=system.path(certificate),
                private_key_file=system.path(private_key),
                root_ca_file=system.path(root_ca) if trusts_own_roots else None,
                vpc_cidr=IPv4Network(_text_field(document, "vpcCidr")),
                dns_server=IPv4Address(_text_field(document, "dnsServer")),
                vpc_endpoint_id=_text_field(document, "vpcEndpointId"),
                topic_prefix=_text_field(document, "topicPrefix"),
                gateways=_gateways(document),
            )
        except ValueError as error:
            raise InstallationError(f"{directory}: {error}; {_REMEDY}") from error


def own_name(system: System) -> str:
    """Give the name of the installed device, or the host's."""
    if system.path(DEVICE_FILE).exists():
        with contextlib.suppress(InstallationError):
            return Installation.load(system).name
    return system.path("/proc/sys/kernel/hostname").read_text("utf-8").strip()


def check_file(system: System, file: str, *, secret: bool) -> None:
    """Refuse an installed file that another user of the device could have changed, or (if secret) read.

    Args:
        system: The machine.
        file: The file's path on the device.
        secret: Whether nobody but its owner may read it.

    Raises:
        InstallationError: The file is missing, not a regular file, of a foreign owner, too open, or unreadable.
    """
    path = system.path(file)
    try:
        for place, name in ((path.parent, str(Path(file).parent)), (path, file)):
            _check_owner(system, place, name)
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise InstallationError(f"{file} is not a regular file; {_REMEDY}")
        mode = stat.S_IMODE(found.st_mode)
        if secret and mode & 0o077:
            raise InstallationError(f"{file} has mode {mode:04o}, so that others can read it; `chmod 600 {file}`")
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise InstallationError(f"{file} is missing; {_REMEDY}") from None
    except PermissionError:
        raise InstallationError(f"{file} cannot be read by this user; run the command with sudo") from None
    except OSError as error:
        raise InstallationError(f"{file} cannot be read: {error.strerror}; {_REMEDY}") from error


def _check_owner(system: System, path: Path, name: str) -> None:
    found = path.stat()
    account = system.account(USER)
    allowed = {0, system.user_id()} | ({account[0]} if account else set())
    if found.st_uid not in allowed:
        raise InstallationError(f"{name} belongs to user {found.st_uid}, not to root; `chown root: {name}`")
    if stat.S_IMODE(found.st_mode) & 0o022:
        raise InstallationError(
            f"{name} has mode {stat.S_IMODE(found.st_mode):04o}, so that others can change it; `chmod go-w {name}`"
        )


def _read_document(system: System, directory: str) -> dict[str, Any]:
    if not system.path(directory).exists():
        raise InstallationError(f"nothing is installed on this device ({directory} is missing); {_REMEDY}")
    file = f"{directory}/{Path(DEVICE_FILE).name}"
    check_file(system, file, secret=False)
    try:
        document = json.loads(system.path(file).read_text("utf-8"))
    except (ValueError, RecursionError):
        raise InstallationError(f"{file} is not valid JSON; {_REMEDY}") from None
    known = (DEVICE_FILE_VERSION, GATEWAY_DEVICE_FILE_VERSION)
    if not isinstance(document, dict) or document.get("version") not in known:
        raise InstallationError(f"{file} is not of version {DEVICE_FILE_VERSION} or {known[-1]}; {_REMEDY}")
    return document


def _gateways(document: dict[str, Any]) -> tuple[IPv4Address, ...]:
    found = document.get("gateways", [])
    if not isinstance(found, list) or (document["version"] == GATEWAY_DEVICE_FILE_VERSION) != bool(found):
        raise ValueError("gateways is not a list of addresses, or does not fit the version")
    return tuple(map(IPv4Address, found))


def _text_field(document: dict[str, Any], field: str) -> str:
    value = document.get(field)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{field} is missing or not text")
    return value
