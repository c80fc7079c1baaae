"""The text of the agent's unit. It cannot prove what systemd makes of it: the device tier runs it there."""

from __future__ import annotations

from ipaddress import IPv4Network

from device_agent.install.units import agent_unit


def values(name: str) -> list[str]:
    """Give what the unit says for a key, every line's words."""
    text = agent_unit(python="/usr/bin/python3", vpc_cidr=IPv4Network("10.0.0.0/16"), home=False)
    return [
        word for line in text.splitlines() if line.startswith(f"{name}=") for word in line.partition("=")[2].split()
    ]


def test_the_queue_takes_messages_as_soon_as_the_disk_is_there() -> None:
    """By default a service is ordered after sysinit.target, and so after local-fs.target (systemd.service(5))."""
    assert values("After") == values("Requires") == values("BindsTo") == []
    assert "network-online.target" not in values("Wants")
    assert values("DefaultDependencies") == []


def test_the_agent_may_ask_the_kernel_whether_the_clock_is_synchronised_and_not_set_it() -> None:
    """ProtectClock= forbids adjtimex(2) also where it only reads (systemd.exec(5))."""
    assert values("ProtectClock") == []
    assert {"adjtimex", "clock_adjtime"} <= set(values("SystemCallFilter"))
    assert values("CapabilityBoundingSet") == []
    text = agent_unit(python="/usr/bin/python3", vpc_cidr=IPv4Network("10.0.0.0/16"), home=False)
    assert "\nCapabilityBoundingSet=\n" in text
