"""Have AWS IoT's front hang up on clients: runs in the lab's host `iot`."""

import sys
from pathlib import Path

from lab.path.gateway.control import ask


def main(control: str, *client_ids: str) -> None:
    """Hang up.

    Args:
        control: The front's control socket.
        client_ids: On whom; nothing happens to those that are not connected.
    """
    for client_id in client_ids:
        ask(Path(control), {"command": "disconnect", "clientId": client_id})


if __name__ == "__main__":
    main(*sys.argv[1:])
