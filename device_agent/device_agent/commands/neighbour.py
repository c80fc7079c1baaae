"""`device-agent neighbour`: keep a device without a tunnel on its gateway (what its service runs)."""

from __future__ import annotations

import argparse
import logging
import signal
import sys

from device_agent._exceptions import UsageError
from device_agent.daemon.loop import Loop
from device_agent.daemon.notify import Notifier
from device_agent.installation import DIRECTORY, NEIGHBOUR_SERVICE, Installation
from device_agent.neighbour.keeper import Keeper, undo
from device_agent.system import System

HELP = "keep a device without a tunnel on its LAN's gateway (what its service runs)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        f"It is started by systemd: `systemctl status {NEIGHBOUR_SERVICE}`. `device-agent install - --gateway\n"
        "ADDRESS` sets it up. The route to the VPC and the endpoint's name in /etc/hosts stay when it ends.\n"
    )
    parser.add_argument("--slot", metavar="FOLDER", default=DIRECTORY, help=argparse.SUPPRESS)
    parser.add_argument("--remove", action="store_true", help="take route and name back, and end")


def run(arguments: argparse.Namespace, system: System) -> int:
    """Run the command until it is told to end.

    Raises:
        DeviceAgentError: Nothing usable is installed, or the device has a tunnel of its own.
    """
    if system.user_id() != 0:
        raise UsageError("neighbour needs root; its service runs it")
    if arguments.remove:
        undo(system)
        return 0
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    # The key is another user's, and this service has no right to read it.
    installation = Installation.load(system, arguments.slot, use_key=False)
    if not installation.gateways:
        raise UsageError(f"{installation.name} has a tunnel of its own, and no gateway to be kept on")
    loop, notifier = Loop(system), Notifier()

    def tell(state: str) -> None:
        notifier.status(state)
        notifier.alive()

    keeper = Keeper(system, loop, installation, on_state=tell)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: loop.hand_over(loop.stop))
    keeper.start()
    notifier.ready()
    try:
        loop.run()
    finally:
        keeper.close()
        loop.close()
        notifier.close()
    return 0
