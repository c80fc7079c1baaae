"""One question to a stand-in over its socket, for the commands.

Each command is a process, of which an installation starts dozens: this module imports nothing that they do not need.
"""

import json
import socket
from typing import Any

SYSTEMD_SOCKET = "/run/systemd/private-iot.sock"
RESOLVED_SOCKET = "/run/systemd/resolve/private-iot.sock"


class AskError(Exception):
    """The stand-in refused, with its own sentence."""


def ask(path: str, question: dict[str, Any]) -> Any:
    """Return the answer to a question.

    Raises:
        AskError: It refused.
        OSError: It does not run.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        connection.sendall(json.dumps(question).encode() + b"\n")
        with connection.makefile("rb") as stream:
            answer = json.loads(stream.readline())
    if "error" in answer:
        raise AskError(answer["error"])
    return answer["result"]
