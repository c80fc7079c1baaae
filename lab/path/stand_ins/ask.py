"""One question to a stand-in over its socket, for the commands.

Each command is a process, of which an installation starts dozens: this module and the commands import nothing that they
do not need. Of JSON and sockets that is what the interpreter has built in: importing `json` and `socket` takes longer
than all that a command does.
"""

import _json
import _socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SYSTEMD_SOCKET = "/run/systemd/private-iot.sock"
RESOLVED_SOCKET = "/run/systemd/resolve/private-iot.sock"


class AskError(Exception):
    """The stand-in refused, with its own sentence."""


class _Reading:
    """How `json` has its scanner read (json.decoder.JSONDecoder)."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}.__getitem__


def dumps(value: "Any") -> str:
    """Return a value as JSON in one line, like `json.dumps`."""
    # As json.encoder.JSONEncoder calls it.
    encode = _json.make_encoder(None, _refuse, _json.encode_basestring_ascii, None, ": ", ", ", False, False, True)
    return "".join(encode(value, 0))


def _refuse(value: object) -> "Any":
    raise TypeError(f"{value!r} is nothing that JSON has")


def loads(text: str) -> "Any":
    """Return the value of JSON in one line, like `json.loads`.

    Raises:
        ValueError: It is none, or goes on after it.
    """
    try:
        value, end = _json.make_scanner(_Reading)(text, 0)  # type: ignore[arg-type] # of which it takes what json.decoder.JSONDecoder has
    except StopIteration as error:
        raise ValueError(f"no JSON at character {error.value}") from None
    if text[end:].strip():
        raise ValueError(f"something follows the JSON, at character {end}")
    return value


def ask(path: str, question: "dict[str, Any]") -> "Any":
    """Return the answer to a question.

    Raises:
        AskError: It refused.
        OSError: It does not run.
    """
    connection = _socket.socket(_socket.AF_UNIX)
    try:
        connection.connect(path)
        connection.sendall(dumps(question).encode() + b"\n")
        line = b""
        while not line.endswith(b"\n") and (data := connection.recv(65536)):
            line += data
    finally:
        connection.close()
    if not line:
        raise ConnectionResetError(f"{path} ended without an answer")
    answer = loads(line.decode())
    if "error" in answer:
        raise AskError(answer["error"])
    return answer["result"]
