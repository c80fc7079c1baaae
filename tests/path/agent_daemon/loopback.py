"""The daemon as a process of its own against a real gateway and broker, on loopback.

The daemon runs in a mount namespace in which the endpoint's name leads to the gateway. The VPC is 127.0.0.0/8 and its
resolver a thread that answers anything: what a real tunnel adds is proven in the lab's sandbox.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from awscrt import http, io, mqtt5
from device_agent.client import Channel, Publisher
from device_agent.installation import DEVICE_FILE_VERSION

from lab.path.gateway.control import ask
from tests.path.gateway.authority import Credential
from tests.path.gateway.stack import ENDPOINT, PORT, REGION, VPC_ENDPOINT_ID, Stack, Tunnel

THING = "pi-1"
PREFIX = f"device/{THING}"
PATIENCE = 120.0

_RUN = """
import sys
from pathlib import Path
from device_agent.daemon.daemon import Daemon, Options
from device_agent.daemon.delivery import DeliveryOptions
from device_agent.messages import Limits
from device_agent.daemon.path_monitor import MonitorOptions
from device_agent.system import System
import logging
logging.basicConfig(level=logging.INFO, format="%(relativeCreated)d %(levelname)s %(message)s")
root, port, dns_port, max_bytes = sys.argv[1:]
Daemon(System(Path(root)), Options(
    limits=Limits(max_bytes=int(max_bytes)), port=int(port), monitor=MonitorOptions(dns_port=int(dns_port)),
    delivery=DeliveryOptions(max_tries=3, first_delay=0.2),
)).run()
"""


def wait_until(condition: Callable[[], Any], what: str, patience: float = PATIENCE, *, pause: float = 0.02) -> Any:
    """Ask until the answer is true; another process offers no event to wait for. Half of the time is for others.

    Args:
        pause: Seconds from an answer to the next question, at least.
    """
    asked = time.monotonic()
    deadline = asked + patience
    while not (answer := condition()):
        now = time.monotonic()
        assert now < deadline, f"{what}: not within {patience:g} s"
        threading.Event().wait(max(pause, min(1.0, now - asked)))
        asked = time.monotonic()
    return answer


class Resolver:
    """Answers every datagram with its own id; can fall silent."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, 0))
        self.port: int = self._socket.getsockname()[1]
        self.silent = False
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                data, peer = self._socket.recvfrom(512)
            except OSError:
                return
            if not self.silent:
                self._socket.sendto(data[:2] + b"\x81\x80" + data[4:], peer)

    def close(self) -> None:
        self._socket.close()


@dataclass
class Device:
    """A device's files and its daemon."""

    root: Path
    stack: Stack
    resolver: Resolver
    process: subprocess.Popen[bytes] | None = None
    max_bytes: int = 64 * 1024 * 1024

    @property
    def socket(self) -> str:
        return str(self.root / "run/private-iot/agent.sock")

    @property
    def queue_file(self) -> Path:
        return self.root / "var/lib/private-iot/queue.sqlite3"

    @property
    def log(self) -> str:
        return (self.root / "daemon.log").read_text()

    def install(self, credential: Credential) -> None:
        directory = self.root / "etc/private-iot"
        for folder in (directory, self.root / "run/private-iot", self.queue_file.parent):
            folder.mkdir(parents=True, exist_ok=True)
        document = {
            "version": DEVICE_FILE_VERSION,
            "name": THING,
            "region": REGION,
            "endpoint": ENDPOINT,
            "clientId": THING,
            "vpcCidr": "127.0.0.0/8",
            "dnsServer": self.stack.endpoint,
            "vpcEndpointId": VPC_ENDPOINT_ID,
            "topicPrefix": PREFIX,
        }
        for name, text, mode in (
            ("device.json", json.dumps(document), 0o644),
            ("root-ca.pem", self.stack.authority.root_file.read_text(), 0o644),
            ("private-key.pem", credential.private_key_file.read_text(), 0o600),
            ("certificate.pem", credential.pem, 0o644),
        ):
            new = directory / f".{name}"
            new.write_text(text)
            new.chmod(mode)
            new.rename(directory / name)

    def start(self, *, mounts: str = "") -> None:
        """Start the daemon.

        Args:
            mounts: Shell commands that run in its mount namespace first.
        """
        hosts = self.root / "hosts"
        hosts.write_text(f"127.0.0.1 localhost\n{self.stack.endpoint} {ENDPOINT}\n")
        command = f'mount --bind {hosts} /etc/hosts && {mounts or "true"} && exec "$@"'
        unshare = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else [])]
        runner = [sys.executable, "-c", _RUN, str(self.root), str(PORT), str(self.resolver.port), str(self.max_bytes)]
        with (self.root / "daemon.log").open("ab") as log:
            self.process = subprocess.Popen([*unshare, "sh", "-c", command, "sh", *runner], stderr=log)
        wait_until(self._answers, "the agent's socket")

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log
        try:
            Channel(self.socket).close()
        except Exception:  # noqa: BLE001 - not there yet
            return False
        return True

    def kill(self) -> None:
        """End it as lost power does, without a chance to do anything."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)

    def stop(self) -> int:
        """End it in order, and return its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def status(self) -> dict[str, Any]:
        with Channel(self.socket) as channel:
            channel.send({"command": "status"})
            answer: dict[str, Any] = channel.receive()["status"]
            return answer

    def wait_connected(self) -> None:
        wait_until(lambda: self.status()["connection"]["connected"], "the connection")

    def wait_empty(self, patience: float = PATIENCE) -> None:
        wait_until(lambda: self.status()["queue"]["depth"] == 0, "an empty queue", patience)

    def connections(self) -> int:
        found: int = self.status()["connection"]["connections"]
        return found

    def hang_up(self) -> None:
        """Have the service end the device's connection, and wait for the next one."""
        before = self.connections()
        assert ask(self.stack.control, {"command": "disconnect", "clientId": THING})["disconnected"]
        wait_until(lambda: self.connections() > before, "the next connection")

    def freeze(self) -> None:
        """Stop the service and the resolver without a word, until the device has noticed, and let them go on."""
        before = self.connections()
        assert self.stack.gateway_process is not None
        self.stack.gateway_process.send_signal(signal.SIGSTOP)
        self.resolver.silent = True
        try:
            wait_until(lambda: not self.status()["connection"]["connected"], "the dead path to be noticed")
        finally:
            self.stack.gateway_process.send_signal(signal.SIGCONT)
            self.resolver.silent = False
        wait_until(lambda: self.connections() > before, "the next connection")

    def restart(self) -> None:
        """Kill the daemon and start it again."""
        self.kill()
        self.start()

    def publisher(self) -> Publisher:
        return Publisher(self.socket)


@dataclass(frozen=True)
class Arrival:
    """A message as it came to the receiver."""

    topic: str
    payload: bytes
    properties: dict[str, str]
    retained: bool


class Receiver:
    """Another client that listens to everything the device publishes."""

    def __init__(self, stack: Stack, way: Tunnel, client_id: str = "receiver") -> None:
        self.way = way
        credential = stack.device("open", thing=client_id)
        stack.reload()
        self.arrivals: queue.SimpleQueue[Arrival] = queue.SimpleQueue()
        self.seen: list[Arrival] = []
        connected = threading.Event()
        options = io.TlsContextOptions.create_client_with_mtls(
            credential.certificate_file.read_bytes(), credential.private_key_file.read_bytes()
        )
        options.override_default_trust_store(stack.authority.root_file.read_bytes())
        self._stopped = threading.Event()
        self._client = mqtt5.Client(
            mqtt5.ClientOptions(
                host_name=ENDPOINT,
                port=PORT,
                tls_ctx=io.ClientTlsContext(options),
                http_proxy_options=http.HttpProxyOptions("127.0.0.1", way.port),
                connect_options=mqtt5.ConnectPacket(client_id=client_id, keep_alive_interval_sec=1200),
                on_publish_callback_fn=self._received,
                on_lifecycle_event_connection_success_fn=lambda _data: connected.set(),
                on_lifecycle_event_stopped_fn=lambda _data: self._stopped.set(),
            )
        )
        self._client.start()
        assert connected.wait(PATIENCE), "the receiver cannot connect"
        self.subscribe(f"{PREFIX}/data", f"{PREFIX}/status")

    def subscribe(self, *topic_filters: str) -> None:
        subscriptions = [mqtt5.Subscription(topic_filter=item, qos=mqtt5.QoS.AT_LEAST_ONCE) for item in topic_filters]
        self._client.subscribe(mqtt5.SubscribePacket(subscriptions=subscriptions)).result(PATIENCE)

    def publish(self, topic: str, payload: bytes) -> None:
        packet = mqtt5.PublishPacket(topic=topic, payload=payload, qos=mqtt5.QoS.AT_LEAST_ONCE)
        self._client.publish(packet).result(PATIENCE)

    def _received(self, data: mqtt5.PublishReceivedData) -> None:
        packet = data.publish_packet
        properties = {item.name: item.value for item in packet.user_properties or []}
        self.arrivals.put(Arrival(packet.topic, packet.payload or b"", properties, bool(packet.retain)))

    def collect(self, count: int, topic: str = f"{PREFIX}/data", patience: float = PATIENCE) -> list[Arrival]:
        """Wait until so many *different* messages have come on a topic, and give all, duplicates too."""
        deadline = time.monotonic() + patience
        while len({item.properties.get("message-id") for item in self.on(topic)}) < count:
            try:
                self.seen.append(self.arrivals.get(timeout=max(0.01, deadline - time.monotonic())))
            except queue.Empty:
                raise AssertionError(
                    f"{len(self.on(topic))} messages on {topic} within {patience:g} s, not {count}"
                ) from None
        self.drain()
        return self.on(topic)

    def on(self, topic: str) -> list[Arrival]:
        return [item for item in self.seen if item.topic == topic]

    def drain(self) -> list[Arrival]:
        """Give all that has come so far."""
        while not self.arrivals.empty():
            self.seen.append(self.arrivals.get())
        return self.seen

    def statuses(self) -> list[dict[str, Any]]:
        self.drain()
        return [json.loads(item.payload) for item in self.on(f"{PREFIX}/status")]

    def close(self) -> None:
        self._client.stop()
        self._stopped.wait(PATIENCE)


@contextmanager
def running_device(stack: Stack) -> Iterator[Device]:
    """A device with an installed identity that may use its own topics; the daemon is not started."""
    # Not pytest's folder: a unix socket's path has at most 107 characters.
    root = Path(tempfile.mkdtemp(prefix="agent-"))
    resolver = Resolver(stack.endpoint)
    device = Device(root, stack, resolver)
    try:
        device.install(register(stack))
        yield device
    finally:
        if device.process is not None and device.process.poll() is None:
            device.kill()
        resolver.close()
        shutil.rmtree(root)


def register(stack: Stack) -> Credential:
    """Issue and register a certificate of the device."""
    credential = stack.device("least-privilege", thing=THING)
    stack.reload()
    return credential
