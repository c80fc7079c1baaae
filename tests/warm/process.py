"""The warm process: it imports, and forks a Python for every starter that asks.

`shared.py` starts it; `starter.py` is what the engine starts in a Python's place.
"""

import atexit
import contextlib
import ctypes
import functools
import gc
import importlib
import io
import marshal
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import botocore.loaders
import botocore.session
import pulumi.log
from moto.backends import get_backend
from moto.core.routing import get_service_router
from werkzeug.exceptions import NotFound

from lab.engine import CHECKOUT
from tests.warm.shared import DEBUG, READY

MODULES = (
    *("pulumi", "pulumi.dynamic", "pulumi_tls", "private_iot", "boto3", "dill", "grpc.experimental"),
    # Which the components import when they first use one.
    *("pulumi_aws.acm", "pulumi_aws.acmpca", "pulumi_aws.cloudwatch", "pulumi_aws.ec2", "pulumi_aws.ec2clientvpn"),
    *("pulumi_aws.iam", "pulumi_aws.iot", "pulumi_aws.route53", "pulumi_aws.vpc", "private_iot.recorded_calls"),
    *("lab.providers.serve", "lab.providers.aws.provider", "lab.providers.tls.provider"),
    *("lab.cloud.application", "lab.cloud.extensions", "lab.cloud.server", "lab.cloud.iot.provisioning_responses"),
    *(f"lab.path.{name}" for name in ("connections", "faults", "provisioning", "publications", "status")),
    *(f"lab.cloud.{name}.urls" for name in ("acm", "acmpca", "ec2", "iot", "iotdata", "logs", "route53")),
    *("lab.cloud.route53resolver.urls", "cryptography.hazmat.backends.openssl.backend"),
)
LISTING = ["-m", "pip", "list", "-v", "--format", "json"]
"""What the language host asks before each program, to find plugins: the answer is the same in all of a run."""
_NAMESPACE = Path("/proc/self/ns/pid").readlink()
_PR_SET_CHILD_SUBREAPER = 36
"""prctl(2)"""
SERVICES = (
    *("acm", "acm-pca", "cloudwatch", "ec2", "iam", "iot", "iot-data"),
    *("logs", "route53", "route53resolver", "sts"),
)


def main(listener: socket.socket) -> None:
    """Import, then fork for every starter until standard input ends."""
    own_paths = [entry for entry in sys.path if entry not in ("", str(CHECKOUT))]
    gc.disable()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in MODULES:
            # Pulumi's own loads a module when it is first looked into (pulumi/_utils.py, lazy_import).
            hasattr(importlib.import_module(name), "__all__")
        _read_models()
    listed = subprocess.run([sys.executable, *LISTING], stdout=subprocess.PIPE, check=True).stdout
    gc.freeze()
    gc.enable()
    # Nobody asks for the exit codes of the forked: they tell their starters themselves.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    threads = threading.active_count()
    assert threads == 1, f"{threads} threads cannot be forked"
    sys.stdout.buffer.write(READY)
    sys.stdout.flush()
    while 0 not in select.select([0, listener.fileno()], [], [])[0]:
        connection, _ = listener.accept()
        request, files, _, _ = socket.recv_fds(connection, 8, 5)
        size = int.from_bytes(request, "little")
        asked = marshal.loads(_receive(connection, size))  # noqa: S302 - our own starter's
        if os.fork() == 0:
            listener.close()
            os._exit(_run(connection, files, asked, own_paths, listed))
        for descriptor in (connection.detach(), *files):
            os.close(descriptor)


def _read_models() -> None:
    """Read what botocore and moto have of AWS's services: files, of which they keep what they once read."""
    read = functools.cache(botocore.loaders.JSONFileLoader().load_file)
    botocore.loaders.JSONFileLoader.load_file = lambda _self, file: read(file)
    # What one session has found out of the files, all know.
    botocore.session.create_loader = functools.cache(botocore.loaders.create_loader)
    session = botocore.session.Session()
    session.set_credentials("warm", "warm")
    for service in SERVICES:
        session.create_client(service, region_name="us-east-1")
        router = get_service_router(service)
        with contextlib.suppress(NotFound):
            router._get_router(router._service_model.protocol)
        importlib.import_module(f"moto.{service.replace('-', '')}.urls")
        get_backend(service)  # type: ignore[call-overload] # any of the names


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += connection.recv(size - len(data))
    return data


def _run(
    connection: socket.socket,
    files: list[int],
    asked: tuple[list[str], str, dict[str, str]],
    own_paths: list[str],
    listed: bytes,
) -> int:
    """Be the program: `-m MODULE …` or a file, with everything that a new process would have."""
    words, folder, environment = asked
    namespaces = files[3:]
    if namespaces:
        _enter(namespaces)
    for number, descriptor in enumerate(files[:3]):
        os.dup2(descriptor, number)
        os.close(descriptor)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    # As `python -u` has them.
    sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False))
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), write_through=True)
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), write_through=True, errors="backslashreplace")
    threading.Thread(target=_end_with_starter, args=(connection,), daemon=True).start()
    if DEBUG not in environment:
        pulumi.log.debug = lambda *_, **__: None
    _seed()
    code = 1
    try:
        if words == LISTING:
            sys.stdout.buffer.write(listed)
        elif words[0] == "-m":
            sys.argv = words[1:]
            of_lab = [str(CHECKOUT)] if words[1].startswith("lab.") else []
            sys.path[:] = [folder, *of_lab, *own_paths]
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = words
            sys.path[:] = [str(Path(words[0]).resolve().parent), *own_paths]
            runpy.run_path(words[0], run_name="__main__")
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        if isinstance(ended.code, str):
            sys.stderr.write(ended.code + "\n")
    except BaseException:  # noqa: BLE001 - what an interpreter does with it
        sys.excepthook(*sys.exc_info())
    if namespaces:
        _end_all()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    with contextlib.suppress(OSError):
        connection.send(bytes([code & 255]))
    return code


def _enter(namespaces: list[int]) -> None:
    """Go on as a process inside of namespaces, which hears of the end of everything below it as the first one does."""
    libc = ctypes.CDLL(None, use_errno=True)
    for descriptor in namespaces:
        if libc.setns(descriptor, 0) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        os.close(descriptor)
    # Only children are in the namespace of processes.
    if os.fork() != 0:
        os._exit(0)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _end_all() -> None:
    """End what the kernel ends with the first process of a namespace, before whoever waits for this one goes on."""
    # Outside of the lab's namespace this would end every process of the machine.
    assert Path("/proc/self/ns/pid").readlink() != _NAMESPACE, "the sandbox is not in a namespace of its own"
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _seed() -> None:
    """Draw other identifiers than the siblings: this generator of moto's does not notice a fork."""
    generator: Any = sys.modules["moto.moto_api._internal"].mock_random
    generator.seed()


def _end_with_starter(connection: socket.socket) -> None:
    connection.recv(1)
    os._exit(137)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
