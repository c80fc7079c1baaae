"""The kernel's rule for commands that connect themselves: this process reaches the VPC, as the agent's service does.

The service has it from its unit (`IPAddressDeny=`, systemd.resource-control(5)). A command gets it from a scope of its
own, into which systemd moves it: `pubsub`, the trial of `install`, and the checks of `doctor` that connect themselves.
"""

from __future__ import annotations

import itertools
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Network, IPv6Network, ip_network

from device_agent.system import System

MOVED_WITHIN = 5.0
"""Seconds for systemd to move the process."""
_CALL = (
    *("busctl", "--quiet", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1"),
    *("org.freedesktop.systemd1.Manager", "StartTransientUnit", "ssa(sv)a(sa(sv))"),
)
_ANY = [ip_network("0.0.0.0/0"), ip_network("::/0")]
_LOCALHOST = [ip_network("127.0.0.0/8"), ip_network("::1/128")]
_numbers = itertools.count(1)


@contextmanager
def address_rule(system: System, network: IPv4Network) -> Iterator[str]:
    """Have the kernel refuse this process every address but the VPC's and its own while the block runs.

    Where that cannot be had, since systemd does not run this machine or the kernel has no such filter, the block runs
    all the same, and standard error says so: the addresses are checked before and after each connection in any case.

    Args:
        system: The machine.
        network: The VPC's CIDR block.

    Yields:
        What the kernel says to another address, as of `System.try_forbidden_address`.
    """
    if (answer := system.try_forbidden_address()) == "EPERM":
        # As under `renew`, whose unit has the rule.
        yield answer
        return
    allowed = [*_LOCALHOST, network]
    error = _move(system, ["IPAddressDeny", *_words(_ANY), "IPAddressAllow", *_words(allowed)], refused=True)
    answer = system.try_forbidden_address()
    if error or answer != "EPERM":
        print(f"{describe_rule(answer)}{': ' if error else ''}{error}", file=sys.stderr, flush=True)
    try:
        yield answer
    finally:
        if not error:
            _move(system, [], refused=False)


def describe_rule(answer: str) -> str:
    """Say what the kernel does about addresses outside the VPC.

    Args:
        answer: What it says to one, as of `System.try_forbidden_address`, or why that is not known.
    """
    if answer == "EPERM":
        return "the kernel refuses it any other address (EPERM)"
    if answer == "sent":
        return "no rule of the kernel keeps it from other addresses"
    return f"what the kernel does about other addresses is not known ({answer})"


def _move(system: System, properties: Sequence[str], *, refused: bool) -> str:
    """Have systemd move this process into a scope, and wait until the kernel follows; gives why it did not."""
    number = os.getpid()
    # A name for each time: systemd forgets a scope only a moment after its last process has left it.
    scope = [f"private-iot-{number}-{next(_numbers)}.scope", "fail"]
    count = str(2 + properties.count("a(iayu)"))
    described = ["Description", "s", "A command of device-agent", "PIDs", "au", "1", str(number)]
    done = system.run([*_CALL, *scope, count, *described, *properties, "0"])
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    deadline = system.monotonic() + MOVED_WITHIN
    while (system.try_forbidden_address() == "EPERM") is not refused and system.monotonic() < deadline:
        system.wait(0.05)
    return ""


def _words(networks: Sequence[IPv4Network | IPv6Network]) -> list[str]:
    """Write networks as busctl(1) takes them: family, length and bytes of the address, length of the prefix."""
    words = ["a(iayu)", str(len(networks))]
    for network in networks:
        family = socket.AF_INET if network.version == 4 else socket.AF_INET6
        address = network.network_address.packed
        words += map(str, (int(family), len(address), *address, network.prefixlen))
    return words
