"""``IPAddressDeny=`` and ``IPAddressAllow=`` of services and scopes, by a control group and nftables.

systemd (systemd.resource-control(5)) loads a BPF program into the unit's control group; what it refuses ends in EPERM,
and a connection's first packet in no answer. A drop in nftables' output hook does the same. A lab of a user who is not
root can make no control group: its services run without.
"""

import contextlib
import shlex
import subprocess
import time
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from pathlib import Path

from lab.path.stand_ins.unit_files import Unit, UnitError

Network = IPv4Network | IPv6Network
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
    denied = _networks(unit.words("IPAddressDeny"))
    group = _group(unit.name, _networks(unit.words("IPAddressAllow")), denied) if denied else None
    if group is None:
        return []
    return ["/bin/sh", "-c", f'echo $$ >{shlex.quote(str(group / "cgroup.procs"))} && exec "$@"', "sh"]


def start_scope(name: str, processes: Iterable[int], allowed: Iterable[str], denied: Iterable[str]) -> None:
    """Move processes into a scope with a rule of its own, or with none (systemd.scope(5)).

    Raises:
        UnitError: No control group can be made.
    """
    group = _group(name, _networks(allowed), _networks(denied))
    if group is None:
        raise UnitError(f"Failed to start transient scope unit: no control group can be made for {name}")
    for number in processes:
        (group / "cgroup.procs").write_text(f"{number}\n", encoding="ascii")


def _group(name: str, allowed: Iterable[Network], denied: Iterable[Network]) -> Path | None:
    """Make a control group and the rule of its processes; ``None`` where that cannot be done."""
    if not _mounted():
        return None
    _remove_abandoned()
    group = _GROUPS / _group_name(name)
    try:
        group.mkdir(exist_ok=True)
    except OSError:
        return None
    rules = _rules(group.name, allowed, "accept") + _rules(group.name, denied, "drop")
    chains = [
        f"chain {hook} {{\n type filter hook {hook} priority filter\n"
        + "".join(f" {rule.format(side=side)}\n" for rule in rules)
        + "}"
        for hook, side in (("output", "daddr"), ("input", "saddr"))
    ]
    table = f"inet {_table(name)}"
    _nft(f"add table {table}\ndelete table {table}\ntable {table} {{\n" + "\n".join(chains) + "\n}\n")
    return group


def release(unit: Unit) -> None:
    """Take the rule back once the unit has no process; one that lives on keeps it."""
    with contextlib.suppress(OSError):
        (_GROUPS / _group_name(unit.name)).rmdir()
        _nft(f"delete table inet {_table(unit.name)}\n")


def _group_name(name: str) -> str:
    # Control groups have one tree for the machine; network namespaces tell the devices of all labs apart.
    return f"{_PREFIX}{Path('/proc/self/ns/net').stat().st_ino}.{name}"


def _table(name: str) -> str:
    return "unit_" + "".join(letter if letter.isalnum() else "_" for letter in name)


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


def _networks(words: Iterable[str]) -> list[Network]:
    return [ip_network(address, strict=False) for word in words for address in _NAMES.get(word, (word,))]


def _rules(group: str, networks: Iterable[Network], verdict: str) -> list[str]:
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
