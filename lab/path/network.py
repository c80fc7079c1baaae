"""Namespaces, links and packet filters, made with the system's own commands.

Every function names the namespace that it acts in; none acts in the machine's own.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab.path.parts import End, Link

NAMESPACES = Path("/run/netns")


class CommandError(Exception):
    """A command of the system failed; the message has its words and what it said."""


def command(argv: Sequence[str], *, text: str | None = None, timeout: float = 20) -> str:
    """Run a command to its end and return what it printed.

    Raises:
        CommandError: It failed.
    """
    result = subprocess.run(argv, input=text, capture_output=True, text=True, check=False, timeout=timeout)
    if result.returncode != 0:
        shown = f"\n{text}" if text else ""
        raise CommandError(f"`{' '.join(argv)}` failed ({result.returncode}): {result.stderr.strip()}{shown}")
    return result.stdout


def enter(host: str) -> list[str]:
    """Return the words that run the next ones in the network of a host."""
    return ["nsenter", f"--net={NAMESPACES / host}", "--"]


def add_namespace(host: str, *, forwards: bool) -> None:
    """Make the network of a host, with its loopback up.

    Args:
        forwards: Whether packets may pass through it.
    """
    NAMESPACES.mkdir(exist_ok=True)
    path = NAMESPACES / host
    path.touch()
    settings = ["net/ipv6/conf/all/disable_ipv6=1", "net/ipv6/conf/default/disable_ipv6=1"]
    # A new network takes the machine's value.
    settings.append(f"net/ipv4/ip_forward={int(forwards)}")
    if forwards:
        # Without reverse path filters: a packet may come in on one interface of several and go out on another.
        settings += ["net/ipv4/conf/all/rp_filter=0", "net/ipv4/conf/default/rp_filter=0"]
    writes = [f"echo {value} > /proc/sys/{name}" for name, _, value in (item.partition("=") for item in settings)]
    script = "; ".join(["ip link set lo up", *(f"[ ! -e {write.split()[-1]} ] || {write}" for write in writes)])
    command(["unshare", f"--net={path}", "sh", "-euc", script])


def delete_namespace(host: str) -> None:
    path = NAMESPACES / host
    command(["umount", str(path)])
    path.unlink()


def add_bridge(host: str, name: str) -> None:
    command(["ip", "-n", host, "-batch", "-"], text=f"link add {name} type bridge\nlink set {name} up\n")


def add_link(link: Link) -> None:
    """Make a pair of interfaces and give them addresses and routes."""
    a, b = link.a, link.b
    command(
        ["ip", "-n", a.host, "-batch", "-"],
        text=f"link add {a.interface} type veth peer name {b.interface} netns {b.host}\n",
    )
    for end in (a, b):
        command(["ip", "-n", end.host, "-batch", "-"], text=_addresses(end))
    # A route needs a link that is up on both ends.
    for end in (a, b):
        if end.routes:
            command(["ip", "-n", end.host, "-batch", "-"], text=_routes(end))


def _addresses(end: End) -> str:
    lines = [f"address add {address} dev {end.interface}" for address in end.addresses]
    lines += [f"link set {end.interface} master {end.bridge}"] if end.bridge else []
    return "\n".join([*lines, f"link set {end.interface} up", ""])


def _routes(end: End) -> str:
    lines = []
    for route in end.routes:
        words = route.split(" ")
        via = words[1:3] if words[1:2] == ["via"] else []
        rest = words[3:] if via else words[1:]
        lines.append(" ".join(["route add", words[0], *via, "dev", end.interface, *rest]))
    return "\n".join([*lines, ""])


def set_links(host: str, interfaces: Sequence[str], *, up: bool) -> None:
    """Put interfaces up or down, as cables that are plugged in or pulled."""
    state = "up" if up else "down"
    command(["ip", "-n", host, "-batch", "-"], text="".join(f"link set {name} {state}\n" for name in interfaces))


def delete_link(link: Link) -> None:
    command(["ip", "-n", link.a.host, "link", "delete", link.a.interface])


def set_loopback(host: str, addresses: Sequence[str], previous: Sequence[str]) -> None:
    """Give a host's loopback the addresses, and take away the previous ones that are no longer wanted."""
    lines = [f"address delete {address} dev lo" for address in previous if address not in addresses]
    lines += [f"address add {address} dev lo" for address in addresses if address not in previous]
    command(["ip", "-n", host, "-batch", "-"], text="\n".join([*lines, ""]))


def set_filter(host: str, text: str) -> None:
    """Replace a packet filter at once: every packet sees the old rules or the new."""
    command([*enter(host), "nft", "-f", "-"], text=text)
