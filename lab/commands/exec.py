"""``python -m lab exec``."""

import argparse
import os

from lab.errors import LabError
from lab.path import hosts, lifecycle
from lab.report import Report
from lab.state import Lab

HELP = """\
run a command in a host of the lab's network

A device's host has its own /etc, /var/lib, /run and process number 1; `systemctl`, `journalctl` and `resolvectl` work
there on the host's own units and links. Other hosts: internet, vpc, iot, and a Client VPN endpoint's id.

  python -m lab exec -- device-agent doctor
  python -m lab exec --host pi-1 -- systemctl status openvpn-client@clientvpn
  python -m lab exec --host vpc -- nft list ruleset

The exit code is the command's."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="where to run it (default: the one device, where there is one)")
    parser.add_argument("words", nargs="+", metavar="COMMAND", help="the command and its arguments, after --")


def run(arguments: argparse.Namespace, lab: Lab, report: Report) -> int:
    """Become the command.

    Raises:
        LabError: There is no such host, or there are several devices and none was named.
    """
    del report
    host = arguments.host or _only_device(lab)
    words = hosts.command(lab, host, arguments.words)
    os.execvp(words[0], words)  # noqa: S606 (the user's own command, without a shell)


def _only_device(lab: Lab) -> str:
    kinds: dict[str, str] = lifecycle.ask(lab, {"command": "hosts"})
    devices = sorted(name for name, kind in kinds.items() if kind == "device")
    if len(devices) != 1:
        raise LabError(
            f"lab {lab.name!r} has {len(devices)} devices ({', '.join(devices)}): choose one with --host NAME"
        )
    return devices[0]
