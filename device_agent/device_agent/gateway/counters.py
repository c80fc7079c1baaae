"""What a gateway's table has counted, for `status` and `doctor`; only root may read it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from device_agent.gateway.rules import TABLE
from device_agent.system import System


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A host of the LAN that has sent something in the last day.

    Attributes:
        address: Its address.
        packets: How many of its packets went into the tunnel.
        bytes: Their bytes.
    """

    address: str
    packets: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Counters:
    """What the table holds.

    Attributes:
        loaded: Whether it is there.
        neighbours: By address.
        to_vpc: Packets and bytes towards the VPC.
        from_vpc: Packets and bytes from there.
    """

    loaded: bool
    neighbours: list[Neighbour] = field(default_factory=list)
    to_vpc: tuple[int, int] = (0, 0)
    from_vpc: tuple[int, int] = (0, 0)


def read_counters(system: System) -> Counters:
    """Ask nft; a table that is not there, or not to be read, is not loaded."""
    done = system.run(["nft", "-j", "list", "table", "inet", TABLE])
    if done.returncode:
        return Counters(loaded=False)
    return parse_counters(done.stdout)


def parse_counters(text: str) -> Counters:
    """Read libnftables-json(5)."""
    objects: list[dict[str, Any]] = json.loads(text)["nftables"]
    counters = {item["counter"]["name"]: item["counter"] for item in objects if "counter" in item}
    elements = [element for item in objects if "set" in item for element in item["set"].get("elem", [])]
    neighbours = [
        Neighbour(found["val"], found["counter"]["packets"], found["counter"]["bytes"])
        for found in (element["elem"] for element in elements)
    ]

    def total(name: str) -> tuple[int, int]:
        return counters[name]["packets"], counters[name]["bytes"]

    return Counters(True, sorted(neighbours, key=lambda item: item.address), total("to_vpc"), total("from_vpc"))
