"""A machine with clocks that the tests move by hand."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from device_agent.daemon.loop import Loop
from device_agent.daemon.queue import Queue, _Change
from device_agent.daemon.queue_file import Stored
from device_agent.installation import Installation
from device_agent.messages import Draft
from device_agent.routes import Route, RouteChanges
from device_agent.system import System

HOME = Route(IPv4Network("0.0.0.0/0"), "wlan0", source="192.168.0.5", metric=600)


class AnyChange(RouteChanges):
    """Whatever a test changes counts: there is no kernel to tell of it."""

    def __init__(self) -> None:
        self.quiet = False
        """Whether nothing changes."""

    def happened(self) -> bool:
        return not self.quiet

    def fileno(self) -> int:
        return -1

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Machine(System):
    """A system whose time stands still until a test moves it."""

    clocks: dict[str, float] = field(default_factory=lambda: {"wall": 1_800_000_000.0, "monotonic": 1000.0})
    answers: dict[str, list[str]] = field(default_factory=dict)
    routes: list[Route] = field(default_factory=list)
    ntp: list[bool] = field(default_factory=lambda: [True])

    def now(self) -> float:
        return self.clocks["wall"]

    def monotonic(self) -> float:
        return self.clocks["monotonic"]

    def clock_synchronised(self) -> bool:
        return self.ntp[-1]

    def pass_time(self, seconds: float) -> None:
        self.clocks["wall"] += seconds
        self.clocks["monotonic"] += seconds

    def tunnel_up(self) -> None:
        """Have the VPC's addresses lead through tun0."""
        self.routes[:] = [HOME, Route(IPv4Network("10.0.0.0/16"), "tun0", "tun", "172.31.0.34")]

    def tunnel_down(self) -> None:
        """Leave nothing but the home network's default route."""
        self.routes[:] = [HOME]

    def find_route(self, address: IPv4Address) -> Route | None:
        found = [route for route in self.routes if address in route.network]
        return max(found, key=lambda route: route.network.prefixlen, default=None)

    def route_changes(self) -> RouteChanges:
        return AnyChange()

    def list_routes(self) -> list[Route]:
        return self.routes

    def resolve(self, host: str) -> list[str]:
        if host not in self.answers:
            raise OSError(-2, "Name or service not known")
        return self.answers[host]


def make_machine(root: Path) -> Machine:
    boot_id = root / "proc/sys/kernel/random/boot_id"
    boot_id.parent.mkdir(parents=True, exist_ok=True)
    boot_id.write_text("boot-1\n")
    return Machine(root)


def put(queue: Queue, topic: str = "pi-1/test", payload: bytes = b"x", id: str = "an-id", **more: object) -> int:  # noqa: A002
    """Put a message and wait until it is durable; raises what the publisher would be told."""
    stored = put_all(queue, [Draft(topic=topic, payload=payload, id=id, **more)])  # type: ignore[arg-type] # free-form
    if stored.error is not None:
        raise stored.error
    return stored.first


def put_all(queue: Queue, drafts: list[Draft]) -> Stored:
    """Put messages together and wait until it is known what became of them."""
    answers: list[Stored] = []
    answered = threading.Event()

    def answer(stored: Stored) -> None:
        answers.append(stored)
        answered.set()

    queue.put(drafts, answer)
    assert answered.wait(20), "the writer gave no answer"
    return answers[0]


def removed(queue: Queue, sequence: int) -> None:
    """Remove a message as the thread that delivers does."""
    (message,) = queue.read(sequence - 1, 1)
    assert message.sequence == sequence
    queue.remove(message)


def settle(queue: Queue) -> None:
    """Wait until the writer has done, or owes, all that was asked so far."""
    done = threading.Event()
    queue._changes.put(_Change(lambda _file: Stored(0, 0), lambda _answer: done.set()))
    assert done.wait(20), "the writer gave no answer"


def advance(machine: Machine, loop: Loop, seconds: float) -> None:
    """Let time pass, and have the loop do at each moment what is due then."""
    end = machine.monotonic() + seconds
    while True:
        loop.turn(0)
        upcoming = loop.next_timer()
        if upcoming is None or upcoming > end:
            break
        machine.pass_time(max(0.0, upcoming - machine.monotonic()))
    machine.pass_time(end - machine.monotonic())
    loop.turn(0)


def installation(root: Path, name: str = "pi-1") -> Installation:
    """An identity whose files are not there: the client is played."""
    return Installation(
        name=name,
        region="ap-northeast-1",
        endpoint="a1b2c3d4e5f6g7-ats.iot.ap-northeast-1.amazonaws.com",
        client_id=name,
        certificate_file=root / "certificate.pem",
        private_key_file=root / "private-key.pem",
        root_ca_file=None,
        vpc_cidr=IPv4Network("10.0.0.0/16"),
        dns_server=IPv4Address("10.0.0.2"),
        vpc_endpoint_id="vpce-0bae8fd9e8c2b2879",
        topic_prefix=name,
    )
