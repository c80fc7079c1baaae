"""The agent's only door to the machine: files under a root, programs, clocks and name resolution.

Every command gets a `System`, so that tests run the same code under a folder of their own with their own programs, time
and answers.
"""

from __future__ import annotations

import ctypes
import errno
import os
import pwd
import socket
import stat
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from device_agent import routes
from device_agent.routes import Route, RouteChanges

_STA_UNSYNC = 0x0040


class _Timex(ctypes.Structure):
    """The head of `struct timex` (adjtimex(2)); `modes` stays 0, which changes nothing."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("frequency", ctypes.c_long),
        ("maximum_error", ctypes.c_long),
        ("estimated_error", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


_adjtimex = ctypes.CDLL(None).adjtimex


@dataclass(frozen=True, slots=True)
class Completed:
    """What a program left behind.

    Attributes:
        returncode: The exit code; 127 if there is no such program, 124 if it was killed at its time-out (as the shell
            and `timeout` have it).
        stdout: Standard output, decoded, undecodable bytes replaced.
        stderr: Standard error, likewise.
    """

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class System:
    """The machine that the agent runs on.

    Attributes:
        root: A prefix for every file that the agent reads or writes; `/` outside tests.
        inherited: Descriptors that the programs it runs keep open, such as a lock that has to outlive this process.
    """

    root: Path = Path("/")
    inherited: tuple[int, ...] = ()

    def path(self, absolute: str) -> Path:
        """Place a file under the root.

        Args:
            absolute: The path as it is on the device, beginning with `/`.

        Returns:
            The path under `root`.
        """
        return self.root / absolute.lstrip("/")

    def run(self, argv: Sequence[str], *, input: str | None = None, timeout: float = 30) -> Completed:  # noqa: A002 - subprocess's own word
        """Run a program to its end, without a shell. It never raises for the program's own failures.

        Args:
            argv: The program (looked up on PATH) and its arguments. Never a secret: arguments are public.
            input: Text for its standard input; nothing by default.
            timeout: Seconds after which it is killed.

        Returns:
            Its exit code and output.
        """
        try:
            done = subprocess.run(
                list(argv),
                input=input,
                stdin=subprocess.DEVNULL if input is None else None,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=timeout,
                check=False,
                pass_fds=self.inherited,
            )
        except subprocess.TimeoutExpired:
            return Completed(124, "", f"{argv[0]} did not end within {timeout:g} s")
        except OSError as error:
            return Completed(127, "", f"{argv[0]}: {error.strerror}")
        return Completed(done.returncode, done.stdout, done.stderr)

    def now(self) -> float:
        """Give the wall clock in seconds since 1970 (UTC). It may jump: few Pis have a clock chip."""
        return time.time()

    def clock_synchronised(self) -> bool:
        """Tell whether the kernel calls the wall clock synchronised (STA_UNSYNC is not set, adjtimex(2))."""
        found = _Timex()
        return _adjtimex(ctypes.byref(found)) != -1 and not found.status & _STA_UNSYNC

    def monotonic(self) -> float:
        """Give a clock in seconds that never jumps."""
        return time.monotonic()

    def wait(self, seconds: float) -> None:
        """Sleep for `seconds`."""
        time.sleep(seconds)

    def resolve(self, host: str) -> list[str]:
        """Ask the system's resolver for a name's addresses, as any program on the device would.

        Args:
            host: A host name.

        Returns:
            The A and AAAA answers, each once, in the resolver's order.

        Raises:
            OSError: The name cannot be resolved (`socket.gaierror`).
        """
        answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        return list(dict.fromkeys(str(address[0]) for _family, _type, _proto, _name, address in answers))

    def find_route(self, address: IPv4Address) -> Route | None:
        """Ask the kernel how an address is reached; None if it is not."""
        return routes.find_route(address)

    def route_changes(self) -> RouteChanges:
        """Listen to the kernel's word of changes of links and routes."""
        return RouteChanges()

    def list_routes(self) -> list[Route]:
        """List the kernel's main routing table."""
        return routes.list_routes()

    def set_route(self, network: IPv4Network, gateway: IPv4Address, interface: str) -> None:
        """Send what is for a network to a router that a link reaches, and nothing of it by the default route.

        Raises:
            OSError: The kernel refuses.
        """
        routes.set_backstop(network)
        routes.set_route(network, gateway, interface)

    def remove_own_routes(self, keep: IPv4Network | None = None) -> None:
        """Take back what `set_route` has done, but for a network's.

        Raises:
            OSError: The kernel refuses.
        """
        routes.remove_own_routes(keep)

    def try_forbidden_address(self) -> str:
        """Send one datagram where the agent has no business, and give the kernel's answer.

        Nothing leaves the machine in any case: it is one of TEST-NET-1 (RFC 5737), through the loopback interface.

        Returns:
            `EPERM` if the kernel keeps this process to the VPC's addresses (systemd.resource-control(5),
            `IPAddressDeny=`), the name of another error, or `sent`.
        """
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
                probe.sendto(b"", ("192.0.2.1", 9))
            except OSError as error:
                return errno.errorcode.get(error.errno or 0, "an unknown error")
        return "sent"

    def user_id(self) -> int:
        """Give the effective user's number; 0 is root."""
        return os.geteuid()

    def account(self, name: str) -> tuple[int, int] | None:
        """Look up a user account.

        Args:
            name: The account's name.

        Returns:
            Its user and group numbers, or None if there is no such account.
        """
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            return None
        return entry.pw_uid, entry.pw_gid

    def has_other_users(self) -> bool:
        """Tell whether files can be given to other users: a container of an ordinary user has one, root."""
        try:
            lines = self.path("/proc/self/uid_map").read_text("ascii").splitlines()
        except OSError:
            return True
        return sum(int(line.split()[2]) for line in lines) > 1

    def closed_folder(self, path: Path) -> Path | None:
        """Find a folder on the way to a file that other users may not enter.

        Args:
            path: The file, as this process sees it.

        Returns:
            The folder nearest to the file, or None if the way is open.
        """
        return next((folder for folder in path.parents if not folder.stat().st_mode & stat.S_IXOTH), None)

    def set_owner(self, path: Path, user: int, group: int) -> None:
        """Give a file, folder or link to a user.

        Args:
            path: What to give; a link itself, not what it leads to.
            user: The user's number.
            group: The group's number.

        Raises:
            OSError: The kernel refuses, for instance since the number has no place in this user namespace.
        """
        os.chown(path, user, group, follow_symlinks=False)
