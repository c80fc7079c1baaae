"""The endpoint's name in /etc/hosts (hosts(5)): a block of ours in a file that others write too. Pure.

It is asked before any DNS, by glibc and by systemd-resolved (`ReadEtcHosts=`, resolved.conf(5)), whoever has set the
resolver: a DHCP client or NetworkManager cannot lead the name elsewhere, and no program of the device sees it outside
the VPC. The gateway's own DNS gives the addresses.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

BEGIN = "# begin private-iot: written by `device-agent neighbour`; its service puts it back"
END = "# end private-iot"
_ROW = r"[0-9.]+ [a-z0-9.-]+\.amazonaws\.com\n"
_BLOCK = re.compile(rf"^(?:{re.escape(BEGIN)}\n(?:{_ROW})*(?:{END}(?:\n|\Z))?|{END}(?:\n|\Z))", re.MULTILINE)


def with_block(text: str, name: str, addresses: Sequence[str]) -> str:
    """Give the file's text with a name's addresses in our block, at the end; whatever else is there stays as it is."""
    rest = without_block(text)
    if rest and not rest.endswith("\n"):
        rest += "\n"
    return rest + "".join(f"{line}\n" for line in (BEGIN, *(f"{address} {name}" for address in addresses), END))


def without_block(text: str) -> str:
    """Give the text without our block, also without one that somebody has cut."""
    return _BLOCK.sub("", text)
