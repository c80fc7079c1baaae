"""The page's server over real HTTP, with answers that only pretend to be a lab's."""

import http.client
import json
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lab.errors import LabError
from lab.view.server import Answers, Cache, Server


class Lab:
    """Remembers what it was told to do."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []
        self.examining = 0
        self.most_at_once = 0

    def begin(self, name: str, seconds: float) -> dict[str, str]:
        if name == "unknown":
            raise LabError("fault 'unknown' is not known")
        self.done.append(("begin", name, seconds))
        return {"fault": name}

    def end(self, name: str) -> dict[str, str]:
        self.done.append(("end", name))
        return {"fault": name}

    def doctor(self, device: str) -> dict[str, str]:
        self.examining += 1
        self.most_at_once = max(self.most_at_once, self.examining)
        threading.Event().wait(0.05)
        self.examining -= 1
        self.done.append(("doctor", device))
        return {"result": "healthy"}

    def publish(self, device: str) -> dict[str, bool]:
        self.done.append(("publish", device))
        return {"queued": True}

    def answers(self) -> Answers:
        return Answers(
            scene=lambda device: {"device": device},
            faults={"vpn-killed": "the server is killed"},
            begin_fault=self.begin,
            end_fault=self.end,
            doctor=self.doctor,
            publish=self.publish,
        )


@pytest.fixture
def lab() -> Lab:
    return Lab()


@pytest.fixture
def server(lab: Lab) -> Iterator[Server]:
    with Server(lab.answers()) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def ask(server: Server, path: str, body: Any = None, **headers: str) -> tuple[int, Any, http.client.HTTPMessage]:
    """Ask as the page does, with the token unless headers say otherwise."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    text = json.dumps(body) if body is not None and not isinstance(body, str) else body
    try:
        sent = {"Authorization": f"Bearer {server.token}", **headers}
        connection.request("GET" if body is None else "POST", path, text, sent)
        answer = connection.getresponse()
        content = answer.read()
        kind = answer.headers["Content-Type"]
        return answer.status, json.loads(content) if "json" in kind else content.decode(), answer.headers
    finally:
        connection.close()


def test_it_listens_on_loopback_alone(server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1"


def test_the_printed_address_shows_the_page(server: Server) -> None:
    path = server.url.partition(str(server.server_port))[2]
    status, page, headers = ask(server, path, Authorization="")
    assert status == 200
    assert "<h1>The private path</h1>" in page
    (policy,) = headers.get_all("Content-Security-Policy") or []
    (nonce,) = set(re.findall(r'nonce="([^"]+)"', page))
    assert f"script-src 'nonce-{nonce}'" in policy
    assert policy.startswith("default-src 'none'")
    assert (headers["Cache-Control"], headers["Referrer-Policy"]) == ("no-store", "no-referrer")


def test_the_page_takes_nothing_from_elsewhere(server: Server) -> None:
    page = ask(server, "/")[1]
    assert re.findall(r"(?:https?:)?//[a-z]", page) == []


@pytest.mark.parametrize("path", ["/", "/api/scene", "/api/faults"])
def test_without_the_token_nothing_is_shown(server: Server, path: str) -> None:
    for wrong in ("", "Bearer ", "Bearer wrong", "Bearer ü"):
        status, answer, _ = ask(server, path, Authorization=wrong.encode().decode("latin-1"))
        assert (status, answer) == (
            403,
            {"error": "the token is missing or wrong: use the printed address as it is"},
        )


def test_without_the_token_nothing_is_broken(server: Server, lab: Lab) -> None:
    body = {"name": "vpn-killed", "seconds": 5}
    assert ask(server, "/api/fault", body, Authorization="Bearer wrong")[0] == 403
    assert lab.done == []


@pytest.mark.parametrize("host", ["example.com", "127.0.0.1", "127.0.0.1:1", "localhost.example.com:PORT"])
def test_a_name_that_only_points_here_is_refused(server: Server, lab: Lab, host: str) -> None:
    named = host.replace("PORT", str(server.server_port))
    body = {"name": "vpn-killed", "seconds": 5}
    status, answer, _ = ask(server, "/api/fault", body, Host=named)
    assert status == 403
    assert f"http://127.0.0.1:{server.server_port}/" in answer["error"]
    assert lab.done == []


def test_localhost_is_the_other_name_of_loopback(server: Server) -> None:
    assert ask(server, "/api/faults", Host=f"localhost:{server.server_port}")[0] == 200


def test_the_page_is_told_the_scene_and_the_faults(server: Server) -> None:
    assert ask(server, "/api/scene?device=pi-2")[1] == {"device": "pi-2"}
    assert ask(server, "/api/faults")[1] == {"vpn-killed": "the server is killed"}


def test_what_the_page_asks_for_is_done(server: Server, lab: Lab) -> None:
    assert ask(server, "/api/fault", {"name": "vpn-killed", "seconds": 5})[1] == {"fault": "vpn-killed"}
    assert ask(server, "/api/end-fault", {"name": "vpn-killed"})[1] == {"fault": "vpn-killed"}
    assert ask(server, "/api/doctor", {"name": "pi-1"})[1] == {"result": "healthy"}
    assert ask(server, "/api/publish", {"name": "pi-1"})[1] == {"queued": True}
    assert lab.done == [
        ("begin", "vpn-killed", 5.0),
        ("end", "vpn-killed"),
        ("doctor", "pi-1"),
        ("publish", "pi-1"),
    ]


def test_what_the_lab_refuses_is_told_in_its_own_words(server: Server) -> None:
    status, answer, _ = ask(server, "/api/fault", {"name": "unknown", "seconds": 5})
    assert (status, answer) == (409, {"error": "fault 'unknown' is not known"})


@pytest.mark.parametrize(
    "body",
    ["", "{", "[]", "7", '"text"', "[" * 3000, '{"name": "vpn-killed"}', '{"name": "vpn-killed", "seconds": "5"}',
     '{"name": "vpn-killed", "seconds": true}', "x" * 5000],
)  # fmt: skip
def test_a_body_that_makes_no_sense_changes_nothing(server: Server, lab: Lab, body: str) -> None:
    assert ask(server, "/api/fault", body)[0] == 400
    assert lab.done == []
    assert ask(server, "/api/faults")[0] == 200


@pytest.mark.parametrize("path", ["/etc/passwd", "/api", "/api/doctor", "/../page.html"])
def test_there_is_no_other_page(server: Server, path: str) -> None:
    assert ask(server, path)[0] == 404
    assert ask(server, "/api/unknown", {})[0] == 404


def test_one_examination_at_a_time(server: Server, lab: Lab) -> None:
    threads = [threading.Thread(target=ask, args=(server, "/api/doctor", {"name": "pi-1"})) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lab.done) == 4
    assert lab.most_at_once == 1


def test_many_pages_ask_the_lab_once_a_while() -> None:
    asked: list[str] = []

    def scene(device: str) -> dict[str, Any]:
        asked.append(device)
        return {"device": device, "at": time.monotonic()}

    cache = Cache(scene, seconds=60)
    assert cache("pi-1") == cache("pi-1")
    cache("pi-2")
    assert asked == ["pi-1", "pi-2"]
    cache.seconds = 0
    cache("pi-1")
    assert asked == ["pi-1", "pi-2", "pi-1"]
