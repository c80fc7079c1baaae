"""What a network is made of: hosts, links, packet filters, services with their files.

A plan says nothing of how these come to be; `lab.path.build` compares what is there with it and does what differs.
"""

from dataclasses import dataclass, field
from typing import Literal

INTERNET = "internet"
IOT = "iot"
HOME_INTERFACE = "wlan0"
"""A device's interface to its home network, or to the LAN of its site."""
# Inside the sandbox, on its own temporary file system.
SERVICES = "/run/private-iot/services"

Reload = Literal["restart", "hangup"]


@dataclass(frozen=True)
class Host:
    """A network namespace.

    Attributes:
        name: Its name, which `exec --host` takes.
        kind: A device has a file system and an init of its own; the others have a network alone, a LAN a switch in it.
        nameserver: What its programs ask for names, or None.
    """

    name: str
    kind: Literal["device", "internet", "vpc", "client-vpn", "iot", "lan", "sensor"]
    nameserver: str | None


@dataclass(frozen=True)
class End:
    """One end of a link: addresses with their prefix, and routes as the words of ``ip route add``.

    Attributes:
        bridge: The host's bridge that it is a port of, or None.
    """

    host: str
    interface: str
    addresses: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    bridge: str | None = None


@dataclass(frozen=True)
class Link:
    """A pair of interfaces."""

    a: End
    b: End


@dataclass(frozen=True)
class File:
    """A file of a service.

    Attributes:
        path: Absolute path inside the sandbox.
        content: Its text, which may be a private key.
    """

    path: str
    content: str = field(repr=False)
    reload: Reload = "restart"


@dataclass(frozen=True)
class Service:
    """A program that runs as long as the plan has it.

    Attributes:
        name: Unique, such as ``client-vpn cvpn-endpoint-…``.
        argv: Absolute words.
        files: What it reads; they exist before it starts.
        ready: Path that exists once it serves, or None.
    """

    name: str
    host: str
    argv: tuple[str, ...]
    files: tuple[File, ...] = ()
    ready: str | None = None


@dataclass(frozen=True)
class IotServer:
    """What AWS IoT's front shows and trusts: the server's certificate and key, and the root of device certificates."""

    certificate: str
    private_key: str = field(repr=False)
    device_roots: str


@dataclass(frozen=True)
class Plan:
    """The whole network.

    Attributes:
        loopback: Further addresses of hosts, with their prefix.
        filters: The packet filter of hosts, as nftables' text.
        notes: What the cloud has and the lab leaves out, for people to read.
    """

    hosts: tuple[Host, ...]
    links: tuple[Link, ...]
    loopback: tuple[tuple[str, tuple[str, ...]], ...]
    filters: tuple[tuple[str, str], ...]
    services: tuple[Service, ...]
    notes: tuple[str, ...] = ()


def service_directory(name: str) -> str:
    return f"{SERVICES}/{name.replace(' ', '_')}"


def provisioning_socket() -> str:
    """Return where the gateway asks what devices ask of fleet provisioning."""
    return f"{service_directory('provisioning')}/cloud.sock"
