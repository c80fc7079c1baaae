"""What is started in place of a Python: it has the warm process (`process.py`) fork one, and ends with that.

Written for little processor time: no module is imported that the interpreter has not imported itself.
"""

import _socket
import marshal
import os
import sys

PROGRAMS = ("pulumi-language-python-exec", "pulumi.dynamic", "lab.providers", "lab.cloud", "pip list")


def start(address: str, python: str) -> None:
    """Start warm what the warm process has imported; cold any other program, and all with modules of another path."""
    words = [word for word in sys.argv[1:] if word != "-u"]
    program = words[0].rpartition("/")[2] if words and words[0] != "-m" else " ".join(words[1:3])
    if os.environ.get("PYTHONPATH") or not program.startswith(PROGRAMS):
        os.execv(python, [python, *sys.argv[1:]])  # noqa: S606 - itself, as it was called
    request = marshal.dumps((words, os.getcwd(), dict(os.environ)))  # noqa: PTH109 - without pathlib
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    connection.connect(address)
    descriptors = b"".join(number.to_bytes(4, sys.byteorder) for number in range(3))
    connection.sendmsg([len(request).to_bytes(8, "little")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, descriptors)])
    connection.sendall(request)
    parent = os.getppid()
    connection.settimeout(1)
    while True:
        try:
            code = connection.recv(1)
            break
        except TimeoutError:
            if os.getppid() != parent:
                os._exit(1)
    # No code: it was killed.
    os._exit(code[0] if code else 137)
