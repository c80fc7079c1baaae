"""What of a lab's network is there now, for everything that builds, watches, breaks and describes it."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.path.certificates import Authority
from lab.path.model import Cloud
from lab.path.parts import Host, Link, Plan
from lab.path.processes import Process
from lab.path.read import Aws
from lab.path.services import Running
from lab.path.site import Site
from lab.path.stand_ins.ask import ask


@dataclass
class Device:
    """A device's host that runs: its folder holds the host's files, `init` is its process number 1.

    Attributes:
        booted: Whether it has been told to start what is enabled.
    """

    host: Host
    base: Path
    init: Process
    booted: bool = False

    def ask(self, socket_path: str, question: dict[str, Any]) -> Any:
        """Put a question to one of the host's stand-ins.

        Raises:
            OSError: It does not answer.
            AskError: It refused.
        """
        return ask(str(self.base / socket_path.lstrip("/")), question)


@dataclass
class LiveNetwork:
    """A lab's network as it is.

    Attributes:
        directory: The lab's path directory, for the log files.
        authority: Issues AWS IoT's server certificate.
        aws: Where the cloud answers; None until the first `up` told it.
        cloud: What the cloud said when it was last read.
        site: Which devices are in a LAN of their own; None where each has a home.
        off: Devices without power, by the fault that took it.
        kept: Devices whose files wait for their power to come back.
        lock: Held by whoever changes the network.
    """

    directory: Path
    authority: Authority
    aws: Aws | None = None
    cloud: Cloud | None = None
    plan: Plan | None = None
    site: Site | None = None
    off: dict[str, tuple[str, ...]] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    hosts: dict[str, Host] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)
    links: dict[tuple[str, str], Link] = field(default_factory=dict)
    loopback: dict[str, tuple[str, ...]] = field(default_factory=dict)
    filters: dict[str, str] = field(default_factory=dict)
    running: dict[str, Running] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
