"""A real mosquitto and a real gateway over it, on loopback addresses of this test process's own."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.path.gateway import mosquitto_configuration
from lab.path.gateway.control import ask
from tests.path.gateway.authority import Authority, Credential

ENDPOINT = "a1b2c3d4e5f6g7-ats.iot.ap-northeast-1.amazonaws.com"
REGION, ACCOUNT = "ap-northeast-1", "123456789012"
VPC_ENDPOINT_ID, VPC_ID = "vpce-0bae8fd9e8c2b2879", "vpc-0123456789abcdef0"
ARN = f"arn:aws:iot:{REGION}:{ACCOUNT}"
PRIVILEGED = os.geteuid() == 0
PORT, ALPN_PORT = (8883, 443) if PRIVILEGED else (18883, 10443)
DEADLINE = 60.0
_ADDRESSES = itertools.count()


def wait_for(condition: Any, what: str) -> Any:
    """Ask until the answer is true; the processes under test offer no event to wait for."""
    deadline = time.monotonic() + DEADLINE
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {DEADLINE} s"
        threading.Event().wait(0.01)
    return answer


def least_privilege(prefix: str = "device") -> dict[str, Any]:
    """The policy of the product: everything bound to the thing and to the interface endpoint."""
    thing = "${iot:Connection.Thing.ThingName}"
    bound = {"StringEquals": {"aws:SourceVpce": VPC_ENDPOINT_ID}}
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "iot:Connect",
                "Resource": f"{ARN}:client/{thing}",
                "Condition": {**bound, "Bool": {"iot:Connection.Thing.IsAttached": "true"}},
            },
            {
                "Effect": "Allow",
                "Action": ["iot:Publish", "iot:Receive"],
                "Resource": f"{ARN}:topic/{prefix}/{thing}/*",
                "Condition": bound,
            },
            {
                "Effect": "Allow",
                "Action": "iot:Subscribe",
                "Resource": f"{ARN}:topicfilter/{prefix}/{thing}/*",
                "Condition": bound,
            },
        ],
    }


OPEN = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}


@dataclass
class Stack:
    """Processes, addresses and the table: endpoint is the interface endpoint's, public the internet's."""

    directory: Path
    authority: Authority
    server: Credential
    endpoint: str
    public: str
    certificates: dict[str, dict[str, Any]] = field(default_factory=dict)
    policies: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    broker_process: subprocess.Popen[bytes] | None = None
    gateway_process: subprocess.Popen[bytes] | None = None

    @property
    def table_file(self) -> Path:
        return self.directory / "table.json"

    @property
    def control(self) -> Path:
        return self.directory / "control.sock"

    @property
    def log_file(self) -> Path:
        return self.directory / "gateway.log"

    def register(
        self,
        credential: Credential,
        *policies: str,
        things: tuple[str, ...] = (),
        status: str = "ACTIVE",
        pem: bool = False,
    ) -> None:
        """Register a certificate as AWS IoT's API would."""
        entry: dict[str, Any] = {"status": status, "policies": list(policies), "things": list(things)}
        if pem:
            entry["certificatePem"] = credential.pem
        self.certificates[credential.certificate_id] = entry

    def device(self, *policies: str, thing: str | None = None, status: str = "ACTIVE") -> Credential:
        """Issue and register a device's certificate."""
        credential = self.authority.issue("AWS IoT Certificate")
        self.register(credential, *policies, things=(thing,) if thing else (), status=status)
        return credential

    def write_table(self) -> None:
        table = {
            "endpoint": ENDPOINT,
            "region": REGION,
            "accountId": ACCOUNT,
            "server": {
                "certificateFile": str(self.server.certificate_file),
                "privateKeyFile": str(self.server.private_key_file),
            },
            "deviceRootsFile": str(self.authority.root_file),
            "listeners": [
                {"address": self.endpoint, "vpcEndpointId": VPC_ENDPOINT_ID, "vpcId": VPC_ID},
                {"address": self.public, "vpcEndpointId": None, "vpcId": None},
            ],
            "certificates": self.certificates,
            "policies": self.policies,
        }
        self.table_file.write_text(json.dumps(table))

    def start_broker(self) -> None:
        broker_socket = self.directory / "broker.sock"
        broker_socket.unlink(missing_ok=True)
        configuration = self.directory / "mosquitto.conf"
        configuration.write_text(mosquitto_configuration(broker_socket))
        with (self.directory / "mosquitto.log").open("ab") as log:
            self.broker_process = subprocess.Popen(["mosquitto", "-c", str(configuration)], stderr=log)
        wait_for(lambda: accepts(broker_socket), "mosquitto's socket")

    def stop_broker(self) -> None:
        assert self.broker_process is not None
        self.broker_process.terminate()
        self.broker_process.wait(DEADLINE)

    def start(self, *options: str) -> None:
        self.write_table()
        self.start_broker()
        command = [sys.executable, "-m", "lab.path.gateway", "--table", str(self.table_file)]
        command += ["--broker-socket", str(self.directory / "broker.sock"), "--control", str(self.control)]
        command += ["--port", str(PORT), "--alpn-port", str(ALPN_PORT), *options]
        with self.log_file.open("wb") as log:
            self.gateway_process = subprocess.Popen(command, stderr=log)
        self.event("started")

    def reload(self) -> None:
        """Write the table and let the gateway read it."""
        assert self.gateway_process is not None
        before = len(self.events("reloaded"))
        self.write_table()
        self.gateway_process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(self.events("reloaded")) > before, "the new table")

    def stop(self) -> None:
        for process in (self.gateway_process, self.broker_process):
            if process is not None and process.poll() is None:
                process.terminate()
                process.wait(DEADLINE)

    def status(self) -> dict[str, Any]:
        return ask(self.control, {"command": "status"})

    def connection(self, client_id: str) -> dict[str, Any] | None:
        """The connection of a client ID as ``status`` shows it."""
        found = [item for item in self.status()["connections"] if item["clientId"] == client_id]
        return found[0] if found else None

    def events(self, name: str, **wanted: object) -> list[dict[str, Any]]:
        """The events of the gateway's log with this name and these members."""
        lines = [json.loads(line) for line in self.log_file.read_text().splitlines() if line.endswith("}")]
        return [line for line in lines if line["event"] == name and all(line.get(k) == v for k, v in wanted.items())]

    def event(self, name: str, **wanted: object) -> dict[str, Any]:
        """Wait for an event and return the last such one."""
        found: list[dict[str, Any]] = wait_for(lambda: self.events(name, **wanted), f"event {name} {wanted}")
        return found[-1]


class Tunnel:
    """An HTTP proxy that leads every name to one address: how a test reaches loopback by the endpoint's name."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, client.makefile("rb", buffering=0) as head:
            request = head.readline().decode()
            while head.readline().strip():
                pass
            port = int(request.split()[1].rpartition(":")[2])
            try:
                server = socket.create_connection((self._address, port), DEADLINE)
            except OSError:
                client.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
                return
            with server:
                server.settimeout(None)
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                back = threading.Thread(target=_copy, args=(server, client), daemon=True)
                back.start()
                _copy(client, server)
                back.join()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    """Copy one direction and pass its end on as an end, not as a reset."""
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def loopback_address() -> str:
    """An address that no other test process, and no other stack of this one, uses."""
    pid = os.getpid()
    return f"127.{64 + next(_ADDRESSES) % 64}.{pid >> 8 & 255}.{pid & 255}"


def accepts(path: Path) -> bool:
    """Whether a program listens on a socket: its file is there a moment before it does."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(str(path))
        except OSError:
            return False
    return True


@contextmanager
def running_stack(directory: Path, *options: str) -> Iterator[Stack]:
    """A stack with policies ``least-privilege`` and ``open`` and no certificate registered yet."""
    authority = Authority(directory)
    server = authority.issue(ENDPOINT, names=(ENDPOINT,))
    stack = Stack(directory, authority, server, loopback_address(), loopback_address())
    stack.policies = {"least-privilege": least_privilege(), "open": OPEN}
    try:
        stack.start(*options)
        yield stack
    finally:
        stack.stop()
