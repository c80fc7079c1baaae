"""``IPAddressDeny=`` and ``IPAddressAllow=`` (systemd.resource-control(5)), by a control group and nftables.

systemd loads a BPF program into the service's control group; what it refuses ends in EPERM, and a connection's first
packet in no answer. A drop in nftables' output hook does the same. A lab of a user who is not root can make no control
group: its services run without.
"""

import contextlib
import shlex
import subprocess
import time
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from pathlib import Path

from lab.path.stand_ins.unit_files import Unit

_GROUPS = Path("/sys/fs/cgroup")
_PREFIX = "private-iot-lab."
_ABANDONED_AFTER = 60.0
"""Seconds after which a group without a process is one that a killed lab has left."""
_NAMES = {
    "any": ("0.0.0.0/0", "::/0"),
    "localhost": ("127.0.0.0/8", "::1/128"),
    "link-local": ("169.254.0.0/16", "fe80::/64"),
    "multicast": ("224.0.0.0/4", "ff00::/8"),
}


def confine(unit: Unit) -> list[str]:
    """Put the rule of a unit into force.

    Returns:
        The words before the unit's command with which its process enters the control group; none for a unit without
        the rule, or where no group can be made.
    """
    if not unit.words("IPAddressDeny") or not _mounted():
        return []
    name = _name(unit)
    group = _GROUPS / name
    _remove_abandoned()
    try:
        group.mkdir(exist_ok=True)
    except OSError:
        return []
    rules = _rules(name, _networks(unit, "IPAddressAllow"), "accept")
    rules += _rules(name, _networks(unit, "IPAddressDeny"), "drop")
    chains = [
        f"chain {hook} {{\n type filter hook {hook} priority filter\n"
        + "".join(f" {rule.format(side=side)}\n" for rule in rules)
        + "}"
        for hook, side in (("output", "daddr"), ("input", "saddr"))
    ]
    table = f"inet {_table(unit)}"
    _nft(f"add table {table}\ndelete table {table}\ntable {table} {{\n" + "\n".join(chains) + "\n}\n")
    return ["/bin/sh", "-c", f'echo $$ >{shlex.quote(str(group / "cgroup.procs"))} && exec "$@"', "sh"]


def release(unit: Unit) -> None:
    """Take the rule back once the unit has no process; one that lives on keeps it."""
    group = _GROUPS / _name(unit)
    with contextlib.suppress(OSError):
        group.rmdir()
        _nft(f"delete table inet {_table(unit)}\n")


def _name(unit: Unit) -> str:
    # Control groups have one tree for the machine; network namespaces tell the devices of all labs apart.
    return f"{_PREFIX}{Path('/proc/self/ns/net').stat().st_ino}.{unit.name}"


def _table(unit: Unit) -> str:
    return "unit_" + "".join(letter if letter.isalnum() else "_" for letter in unit.name)


def _mounted() -> bool:
    """Mount the tree in the device's own file systems, where nftables looks for it."""
    if not (_GROUPS / "cgroup.procs").exists():
        subprocess.run(["mount", "-t", "cgroup2", "cgroup2", str(_GROUPS)], capture_output=True, check=False)
    return (_GROUPS / "cgroup.procs").exists()


def _remove_abandoned() -> None:
    for group in _GROUPS.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if group.stat().st_mtime < time.time() - _ABANDONED_AFTER:
                group.rmdir()


def _networks(unit: Unit, key: str) -> list[IPv4Network | IPv6Network]:
    words = [address for word in unit.words(key) for address in _NAMES.get(word, (word,))]
    return [ip_network(word, strict=False) for word in words]


def _rules(group: str, networks: Iterable[IPv4Network | IPv6Network], verdict: str) -> list[str]:
    networks = list(networks)
    of_version = {
        "ip": collapse_addresses(item for item in networks if isinstance(item, IPv4Network)),
        "ip6": collapse_addresses(item for item in networks if isinstance(item, IPv6Network)),
    }
    return [
        f'socket cgroupv2 level 1 "{group}" {family} {{side}} {{{{ {", ".join(map(str, found))} }}}} {verdict}'
        for family, addresses in of_version.items()
        if (found := list(addresses))
    ]


def _nft(text: str) -> None:
    subprocess.run(["nft", "-f", "-"], input=text, text=True, capture_output=True, check=True)
