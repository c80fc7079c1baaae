"""What the peers' programs share, with a peer that is no client. Cannot prove that a client counts as it should."""

import io
import json
import sys
from concurrent.futures import Future
from typing import Any

import pytest

from bench.peers import listener, program


class Recorder(program.Peer):
    """Accepts what it is given, but for the numbers that it is told to refuse or never to answer."""

    def __init__(self, *, refuse: tuple[int, ...] = (), silent: tuple[int, ...] = ()) -> None:
        self.refuse, self.silent = refuse, silent
        self.taken: list[bytes] = []

    def publish(self, payload: bytes) -> "Future[None]":
        number = int(payload.split(b":")[1])
        self.taken.append(payload)
        future: Future[None] = Future()
        if number in self.refuse:
            future.set_exception(RuntimeError("refused"))
        elif number not in self.silent:
            future.set_result(None)
        return future


def serve(peer: program.Peer, monkeypatch: pytest.MonkeyPatch, *commands: dict[str, Any]) -> list[dict[str, Any]]:
    """Run the program with the commands as its whole input, and return its answers."""
    written = io.StringIO()
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(json.dumps(command) + "\n" for command in commands)))
    monkeypatch.setattr(sys, "stdout", written)
    program.serve(peer)
    ready, *answers = map(json.loads, written.getvalue().splitlines())
    assert ready["ready"] is True
    return answers


def test_a_burst_sends_each_number_once_and_tells_when_it_began_and_was_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    peer = Recorder()
    (answer,) = serve(peer, monkeypatch, {"do": "burst", "run": "r-1", "count": 2000})
    assert [item.split(b":")[:2] for item in peer.taken] == [[b"r-1", str(n).encode()] for n in range(2000)]
    assert {len(item) for item in peer.taken} == {program.SIZE}
    assert answer["accepted"] >= answer["first"]


def test_a_burst_with_a_refused_message_fails_instead_of_counting_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="refused"):
        serve(Recorder(refuse=(3,)), monkeypatch, {"do": "burst", "run": "r", "count": 5})


def test_a_backlog_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = Recorder(silent=tuple(range(10)))
    (answer,) = serve(peer, monkeypatch, {"do": "backlog", "run": "r", "count": 10})
    assert set(answer) == {"first"}
    assert len(peer.taken) == 10


def test_paced_messages_each_have_a_time_and_a_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    (answer,) = serve(Recorder(), monkeypatch, {"do": "paced", "run": "r", "count": 3, "pause": 0})
    assert answer["sent"] == sorted(answer["sent"])
    assert len(answer["sent"]) == len(answer["accepted"]) == 3


def test_steady_publishing_ends_with_the_next_line_and_tells_refused_from_unanswered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    commands = ({"do": "steady", "run": "r", "every": 10, "settle": 0}, {"do": "stop"})
    assert serve(Recorder(), monkeypatch, *commands) == [{"published": 1, "accepted": 1, "failed": 0}]
    assert serve(Recorder(refuse=(0,)), monkeypatch, *commands) == [{"published": 1, "accepted": 0, "failed": 1}]
    assert serve(Recorder(silent=(0,)), monkeypatch, *commands) == [{"published": 1, "accepted": 0, "failed": 0}]


def test_the_listener_counts_a_message_once_and_its_copies_apart() -> None:
    heard = listener.Listener()
    for number in (0, 1, 1, 2):
        heard.take(program.payload("r-1", number))
    heard.take(program.payload("r-2", 0))
    heard.take(b'{"status": "online"}')
    answer = heard.answer({"run": "r-1"})
    assert [number for number, _at in answer["arrivals"]] == [0, 1, 2]
    assert answer["copies"] == 4
    counted = heard.answer({"run": "r-1", "count": 3, "within": 0})
    assert (counted["distinct"], counted["copies"], counted["last"]) == (3, 4, answer["arrivals"][-1][1])


def test_the_listener_tells_what_is_missing_once_the_time_is_over() -> None:
    heard = listener.Listener()
    assert heard.answer({"run": "r", "count": 1, "within": 0}) == {"distinct": 0, "copies": 0, "last": None}
