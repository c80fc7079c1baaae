"""What is started in place of a Python: it has the warm process (`process.py`) fork one, and ends with that.

Written for little processor time: no module is imported that the interpreter has not imported itself.
"""

import _signal  # type: ignore[import-not-found]
import _socket
import marshal
import os
import sys

PROGRAMS = ("pulumi-language-python-exec", "pulumi.dynamic", "lab.providers", "lab.cloud", "pip list")
SANDBOX = "lab.path.sandbox"


def start(address: str, python: str) -> None:
    """Start warm what the warm process has imported; cold any other program, and all with modules of another path."""
    words = [word for word in sys.argv[1:] if word != "-u"]
    program = words[0].rpartition("/")[2] if words and words[0] != "-m" else " ".join(words[1:3])
    # It is the first process of its namespaces, into which the warm process forks the network's sandbox. What a user
    # namespace holds stays cold.
    first = program.startswith(SANDBOX) and os.getpid() == 1 and os.geteuid() == 0
    if not first and (os.environ.get("PYTHONPATH") or not program.startswith(PROGRAMS)):
        os.execv(python, [python, *sys.argv[1:]])  # noqa: S606 - itself, as it was called
    request = marshal.dumps((words, os.getcwd(), dict(os.environ)))  # noqa: PTH109 - without pathlib
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    connection.connect(address)
    files = [0, 1, 2]
    if first:
        files += [os.open(f"/proc/self/ns/{name}", os.O_RDONLY) for name in ("mnt", "pid")]
        _signal.signal(_signal.SIGCHLD, _signal.SIG_IGN)
    descriptors = b"".join(number.to_bytes(4, sys.byteorder) for number in files)
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
