"""Notes when each message reaches AWS IoT's broker: runs in the host `iot` of the lab's network.

It listens behind the gateway, on the broker's own socket, so that every peer is measured by the same eyes. Its one
argument is the socket's path. Commands, one JSON object a line:

- `{"run": R, "count": N, "within": SECONDS}`: answered once N different messages of the run are there, or when the time
  is over, with `distinct`, `copies` (arrivals in all) and `last`.
- `{"run": R}`: answered at once with `arrivals`, `[number, time]` of each message's first arrival, and `copies`.
"""

import json
import re
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from awscrt import io, mqtt5

from bench.peers.program import say

_HEAD = re.compile(rb"([a-z0-9-]+):(\d+):")


@dataclass
class Run:
    """The messages of one run: number to the time of its first arrival, in the order of arrival."""

    arrivals: dict[int, float] = field(default_factory=dict)
    copies: int = 0


class Listener:
    """Collects what comes in."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.runs: dict[str, Run] = {}
        self.wanted: tuple[str, int] | None = None

    def take(self, content: bytes) -> None:
        """Note a message; what is not the benchmark's is passed over."""
        now = time.monotonic()
        head = _HEAD.match(content)
        if head is None:
            return
        name, number = head[1].decode(), int(head[2])
        with self.changed:
            run = self.runs.setdefault(name, Run())
            run.copies += 1
            run.arrivals.setdefault(number, now)
            if self.wanted is not None and self.wanted[0] == name and len(run.arrivals) >= self.wanted[1]:
                self.changed.notify_all()

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        with self.changed:
            run = self.runs.setdefault(command["run"], Run())
            if "count" not in command:
                return {"arrivals": list(run.arrivals.items()), "copies": run.copies}
            self.wanted = (command["run"], command["count"])
            self.changed.wait_for(lambda: len(run.arrivals) >= command["count"], command["within"])
            self.wanted = None
            last = max(run.arrivals.values(), default=None)
            return {"distinct": len(run.arrivals), "copies": run.copies, "last": last}


def main(path: str) -> None:
    """Listen until standard input ends."""
    listener = Listener()
    subscribed = threading.Event()
    options = io.SocketOptions()
    options.domain = io.SocketDomain.Local
    filters = [mqtt5.Subscription(topic_filter="#", qos=mqtt5.QoS.AT_LEAST_ONCE)]

    def connected(_data: mqtt5.LifecycleConnectSuccessData) -> None:
        future = client.subscribe(mqtt5.SubscribePacket(subscriptions=filters))
        future.add_done_callback(lambda _future: subscribed.set())

    client = mqtt5.Client(
        mqtt5.ClientOptions(
            host_name=path,
            port=0,
            socket_options=options,
            connect_options=mqtt5.ConnectPacket(client_id="bench-listener", keep_alive_interval_sec=60),
            on_publish_callback_fn=lambda data: listener.take(data.publish_packet.payload or b""),
            on_lifecycle_event_connection_success_fn=connected,
        )
    )
    client.start()
    subscribed.wait()
    say({"ready": True})
    for line in sys.stdin:
        say(listener.answer(json.loads(line)))


if __name__ == "__main__":
    main(sys.argv[1])
