"""AWS IoT's credential provider: temporary credentials of a role, for whoever shows a registered certificate.

``python -m lab.path.credential_provider --table FILE --ready PATH`` answers ``GET /role-aliases/ALIAS/credentials``
over mutual TLS on port 443 of the table's listeners. The table is the gateway's (`lab.path.gateway.table`) with one
member more, read again for each connection::

    "roleAliases": {"uploads": {"duration": 3600, "maxSession": 3600}}

Sources: AWS IoT developer guide, "Authorizing direct calls to AWS services using AWS IoT Core credential provider"; the
status and text of each refusal, and their order, as AWS was seen to answer (the table in docs/dev_notes.md of
awslabs/aws-iot-core-credential-provider-session-helper). The credentials are random: the lab's cloud takes any key.
"""

import argparse
import base64
import hashlib
import json
import re
import secrets
import signal
import socket
import ssl
import sys
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from lab.path.gateway.authorization import Peer, certificate_fields, request_context
from lab.path.gateway.table import Listener, Table, TableError, load
from lab.path.gateway.tls import server_context
from lab.path.iot_policy import Request, evaluate

ACTION = "iot:AssumeRoleWithCertificate"
PORT = 443
_PATH = re.compile(r"/role-aliases/(?P<alias>[\w=,@-]{1,128})/credentials", re.ASCII)
_TIMEOUT = 20.0
"""Seconds for the handshake, and for the wait between two requests of a connection."""


class RefusedError(Exception):
    """A request that AWS IoT refuses, with the status and the text of its answer."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


def credentials(
    table: Table,
    aliases: Mapping[str, Mapping[str, Any]],
    listener: Listener,
    peer: Peer,
    *,
    alias: str,
    thing_name: str | None,
    now: float,
) -> dict[str, str]:
    """Make credentials of the role behind an alias.

    Args:
        table: Certificates, policies and things.
        aliases: Name → ``duration`` and ``maxSession``, in seconds.
        listener: Where the request came in.
        peer: Who asks.
        alias: What it asks for.
        thing_name: The header ``x-amzn-iot-thingname``, if it was sent.
        now: Seconds since the epoch.

    Returns:
        ``accessKeyId``, ``secretAccessKey``, ``sessionToken`` and ``expiration`` (ISO 8601).

    Raises:
        RefusedError: AWS IoT would refuse.
    """
    certificate = table.certificates.get(peer.certificate_id)
    if certificate is None or certificate.status != "ACTIVE":
        raise RefusedError(HTTPStatus.FORBIDDEN, "Certificate is invalid on this endpoint")
    if thing_name is not None and thing_name not in certificate.things:
        raise RefusedError(HTTPStatus.FORBIDDEN, "Invalid thing name passed")
    context = request_context(table, listener, peer, certificate, thing_name)
    context["aws:CurrentTime"] = datetime.fromtimestamp(now, UTC).isoformat()
    context["aws:EpochTime"] = str(int(now))
    policies = {name: table.policies[name] for name in certificate.policies}
    if not evaluate(policies, Request(ACTION, table.arn(f"rolealias/{alias}"), context)).allowed:
        raise RefusedError(HTTPStatus.FORBIDDEN, "Access Denied")
    if alias not in aliases:
        raise RefusedError(HTTPStatus.NOT_FOUND, "Role alias does not exist")
    duration, max_session = aliases[alias]["duration"], aliases[alias]["maxSession"]
    if max_session is None:
        raise RefusedError(HTTPStatus.BAD_REQUEST, "Unable to assume the role, or the role to assume does not exist")
    if duration > max_session:
        raise RefusedError(
            HTTPStatus.BAD_REQUEST,
            "The requested CredentialDurationSeconds exceeds the MaxSessionDuration set for the role",
        )
    return {
        "accessKeyId": "ASIA" + base64.b32encode(secrets.token_bytes(10)).decode(),
        "secretAccessKey": base64.b64encode(secrets.token_bytes(30)).decode(),
        "sessionToken": base64.b64encode(secrets.token_bytes(300)).decode(),
        "expiration": datetime.fromtimestamp(now + duration, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, listener: Listener, table_file: Path) -> None:
        self.address_family = socket.AF_INET6 if ":" in listener.address else socket.AF_INET
        super().__init__((listener.address, PORT), _Handler)
        self.listener = listener
        self.table_file = table_file
        self.table = load(table_file)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands in the connection's own thread, under the table as it is now."""
        try:
            self.table = load(self.table_file)
            request.settimeout(_TIMEOUT)
            secured = server_context(self.table, protocol="http/1.1").wrap_socket(request, server_side=True)
        except (OSError, TableError) as error:  # ssl.SSLError and TimeoutError are OSErrors
            print(f"{client_address[0]}: refused: {error}", file=sys.stderr, flush=True)
            return
        with secured:
            super().finish_request(secured, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _TIMEOUT
    server: _Server
    connection: ssl.SSLSocket

    def do_GET(self) -> None:
        try:
            found = _PATH.fullmatch(self.path)
            if found is None:
                raise RefusedError(HTTPStatus.NOT_FOUND, "Not Found")
            made = credentials(
                self.server.table,
                json.loads(self.server.table_file.read_text())["roleAliases"],
                self.server.listener,
                self._peer(),
                alias=found["alias"],
                thing_name=self.headers.get("x-amzn-iot-thingname"),
                now=time.time(),
            )
        except RefusedError as error:
            self._answer(error.status, {"message": str(error)})
        else:
            self._answer(HTTPStatus.OK, {"credentials": made})

    def _peer(self) -> Peer:
        address, port = self.client_address[:2]
        der = self.connection.getpeercert(binary_form=True) or b""
        fields = certificate_fields(self.connection.getpeercert() or {})
        return Peer(address, port, hashlib.sha256(der).hexdigest(), fields)

    def _answer(self, status: HTTPStatus, body: dict[str, Any]) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
        self.end_headers()
        self.wfile.write(text)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until a signal ends the process."""
    parser = argparse.ArgumentParser(prog="python -m lab.path.credential_provider")
    parser.add_argument("--table", type=Path, required=True, help="JSON: the gateway's table and roleAliases")
    parser.add_argument("--ready", type=Path, required=True, help="a file that is made once it serves")
    arguments = parser.parse_args(argv)
    # The table is read for every connection: there is nothing to read again.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    servers = [_Server(listener, arguments.table) for listener in load(arguments.table).listeners]
    threads = [threading.Thread(target=server.serve_forever) for server in servers]
    for thread in threads:
        thread.start()
    arguments.ready.touch()
    for thread in threads:
        thread.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
