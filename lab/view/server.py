"""Serves the page on loopback, answers its questions, and breaks what it is told to break.

Who can open the page can break the lab, so every request needs the token that is in the printed URL, and a Host header
that names loopback: without the latter a foreign page could reach this server by a name that it lets point here (DNS
rebinding).
"""

import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from lab.errors import LabError

PAGE = Path(__file__).with_name("page.html")
_LARGEST_BODY = 4096


@dataclass(frozen=True)
class Answers:
    """What the page can ask for; each may raise `LabError`, whose text the page shows.

    Attributes:
        scene: The scene of a device, as `lab.view.scene.draw` returns it; of the first device for an empty name.
        faults: Name and description of every fault.
        begin_fault: Begins a fault for some seconds.
        end_fault: Ends a fault.
        doctor: Runs `device-agent doctor` on a device and returns its JSON.
        publish: Publishes one message from a device.
    """

    scene: Callable[[str], dict[str, Any]]
    faults: Mapping[str, str]
    begin_fault: Callable[[str, float], Any]
    end_fault: Callable[[str], Any]
    doctor: Callable[[str], Any]
    publish: Callable[[str], Any]


@dataclass
class Cache:
    """Asks once a while, however many pages are open.

    Attributes:
        ask: The question, by device.
        seconds: How old an answer may be.
    """

    ask: Callable[[str], dict[str, Any]]
    seconds: float = 0.5
    _answers: dict[str, tuple[float, dict[str, Any]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, device: str) -> dict[str, Any]:
        """Return the answer, asked for anew where the last one is too old."""
        with self._lock:
            at, answer = self._answers.get(device, (0.0, {}))
            if not answer or time.monotonic() - at > self.seconds:
                answer = self.ask(device)
                self._answers[device] = (time.monotonic(), answer)
            return answer


class Server(ThreadingHTTPServer):
    """The page's server.

    Args:
        answers: What the page can ask for.
        port: Port on 127.0.0.1; 0 takes a free one.
    """

    daemon_threads = True

    def __init__(self, answers: Answers, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.answers = answers
        self.token = secrets.token_urlsafe(24)
        self.examinations = threading.Lock()

    @property
    def url(self) -> str:
        """The page's address, with its token."""
        return f"http://127.0.0.1:{self.server_port}/?token={self.token}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        """Serve the page and the questions that change nothing."""
        if not self._allowed():
            return
        match urlsplit(self.path).path:
            case "/":
                self._page()
            case "/api/scene":
                self._answer(lambda: self.server.answers.scene(self._query("device")))
            case "/api/faults":
                self._answer(lambda: dict(self.server.answers.faults))
            case _:
                self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")

    def do_POST(self) -> None:
        """Do what the page asks for."""
        if not self._allowed():
            return
        body = self._body()
        if body is None:
            return
        answers = self.server.answers
        name = str(body.get("name", ""))
        match urlsplit(self.path).path:
            case "/api/fault":
                seconds = body.get("seconds")
                if isinstance(seconds, bool) or not isinstance(seconds, int | float):
                    self._refuse(HTTPStatus.BAD_REQUEST, "seconds has to be a number")
                    return
                self._answer(lambda: answers.begin_fault(name, float(seconds)))
            case "/api/end-fault":
                self._answer(lambda: answers.end_fault(name))
            case "/api/doctor":
                # One at a time: an examination may pause the agent.
                with self.server.examinations:
                    self._answer(lambda: answers.doctor(name))
            case "/api/publish":
                self._answer(lambda: answers.publish(name))
            case _:
                self._refuse(HTTPStatus.NOT_FOUND, "there is no such question")

    def _allowed(self) -> bool:
        port = self.server.server_port
        if self.headers.get("Host") not in (f"127.0.0.1:{port}", f"localhost:{port}"):
            self._refuse(HTTPStatus.FORBIDDEN, f"use the printed address, http://127.0.0.1:{port}/?token=…")
            return False
        given = self.headers.get("Authorization", "").removeprefix("Bearer ") or self._query("token")
        if not hmac.compare_digest(given.encode(), self.server.token.encode()):
            self._refuse(HTTPStatus.FORBIDDEN, "the token is missing or wrong: use the printed address as it is")
            return False
        return True

    def _query(self, name: str) -> str:
        return parse_qs(urlsplit(self.path).query).get(name, [""])[0]

    def _body(self) -> dict[str, Any] | None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _LARGEST_BODY:
            self._refuse(HTTPStatus.BAD_REQUEST, f"a body of at most {_LARGEST_BODY} bytes is needed")
            return None
        try:
            body = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            self._refuse(HTTPStatus.BAD_REQUEST, "the body has to be a JSON object")
            return None
        return body

    def _answer(self, ask: Callable[[], Any]) -> None:
        try:
            answer = ask()
        except LabError as error:
            self._refuse(HTTPStatus.CONFLICT, str(error))
            return
        self._send(HTTPStatus.OK, json.dumps(answer).encode(), "application/json")

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        self._send(status, json.dumps({"error": reason}).encode(), "application/json")

    def _page(self) -> None:
        nonce = secrets.token_urlsafe(16)
        page = PAGE.read_text(encoding="utf-8").replace("NONCE", nonce)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
            "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        self._send(HTTPStatus.OK, page.encode(), "text/html; charset=utf-8", {"Content-Security-Policy": policy})

    def _send(self, status: HTTPStatus, body: bytes, kind: str, more: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            **(more or {}),
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Write nothing: a request's line holds the token."""
