"""One question to a stand-in over its socket, for the commands."""

import json
import socket
from typing import Any


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
