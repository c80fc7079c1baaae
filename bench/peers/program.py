"""What every peer's program does: it connects, says that it is ready, and then does what the lines on its input ask.

One JSON object a line both ways. Times are `time.monotonic()`, which all programs of one machine share. Commands:

- `{"do": "burst", "run": R, "count": N}`: publish so many messages as fast as they are taken; answered with `first`
  (when the first was handed over) and `accepted` (when the last was) once all are accepted.
- `{"do": "backlog", …}`: the same without waiting for anything; answered with `first`.
- `{"do": "paced", "run": R, "count": N, "pause": SECONDS}`: one at a time, each after the one before was accepted and
  a pause; answered with `sent`, a list of times, and `accepted`, a list of seconds.
- `{"do": "steady", "run": R, "every": SECONDS, "settle": SECONDS}`: one message every so often until the next line
  comes; then up to `settle` seconds for what is not accepted yet; answered with `published`, `accepted`, `failed`.
"""

import json
import os
import queue
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import Future, wait
from typing import Any

SIZE = 256
"""Bytes of each payload."""
OUTSTANDING = 1000
"""The most messages of a burst that are handed over and not accepted yet."""
TIMEOUT = 300.0
"""Seconds for a burst to be accepted."""


class Peer(ABC):
    """Something that publishes."""

    @abstractmethod
    def publish(self, payload: bytes) -> "Future[None]":
        """Hand a message over.

        Returns:
            Done once it is accepted: by the service, or by what keeps it until the service has it.
        """

    def publish_all(self, payloads: Sequence[bytes]) -> None:
        """Hand messages over as fast as they are taken, and return when all are accepted."""
        room = threading.Semaphore(OUTSTANDING)
        futures = []
        for payload in payloads:
            if not room.acquire(timeout=TIMEOUT):
                raise TimeoutError(f"no message was accepted within {TIMEOUT:g} s")
            future = self.publish(payload)
            future.add_done_callback(lambda _future: room.release())
            futures.append(future)
        for future in futures:
            future.result(TIMEOUT)

    def queue_all(self, payloads: Sequence[bytes]) -> None:
        """Hand messages over and wait for none: what a client without a queue on disk holds during an outage."""
        # The futures are the caller's to keep, as in any program that wants to know what became of its messages.
        self.kept = [self.publish(payload) for payload in payloads]


def payload(run: str, number: int) -> bytes:
    """Write a message that tells its run and its number."""
    return f"{run}:{number}:".encode().ljust(SIZE, b".")


def serve(peer: Peer) -> None:
    """Obey the lines on standard input until it ends.

    Args:
        peer: It is connected.
    """
    commands: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            commands.put(json.loads(line))
        commands.put(None)

    threading.Thread(target=read, daemon=True).start()
    say({"ready": True, "pid": os.getpid()})
    while (command := commands.get()) is not None:
        match command["do"]:
            case "burst":
                say(_burst(peer, command))
            case "backlog":
                started = time.monotonic()
                peer.queue_all(_payloads(command))
                say({"first": started})
            case "paced":
                say(_paced(peer, command))
            case "steady":
                say(_steady(peer, command, commands))


def say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _payloads(command: dict[str, Any]) -> list[bytes]:
    return [payload(command["run"], number) for number in range(command["count"])]


def _burst(peer: Peer, command: dict[str, Any]) -> dict[str, Any]:
    payloads = _payloads(command)
    started = time.monotonic()
    peer.publish_all(payloads)
    return {"first": started, "accepted": time.monotonic()}


def _paced(peer: Peer, command: dict[str, Any]) -> dict[str, Any]:
    sent, accepted = [], []
    for message in _payloads(command):
        started = time.monotonic()
        peer.publish(message).result(TIMEOUT)
        accepted.append(time.monotonic() - started)
        sent.append(started)
        time.sleep(command["pause"])
    return {"sent": sent, "accepted": accepted}


def _steady(peer: Peer, command: dict[str, Any], commands: "queue.SimpleQueue[Any]") -> dict[str, Any]:
    futures: list[Future[None]] = []
    failed = 0
    due = time.monotonic()
    while True:
        try:
            futures.append(peer.publish(payload(command["run"], len(futures) + failed)))
        except Exception:  # noqa: BLE001 (whatever a client raises is a message that it did not take)
            failed += 1
        due = max(due + command["every"], time.monotonic())
        try:
            commands.get(timeout=max(0.001, due - time.monotonic()))
            break
        except queue.Empty:
            pass
    ended, _waiting = wait(futures, command["settle"])
    accepted = sum(1 for future in ended if future.exception() is None)
    return {
        "published": len(futures) + failed,
        "accepted": accepted,
        "failed": failed + len(ended) - accepted,
    }
