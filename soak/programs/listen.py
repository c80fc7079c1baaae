"""Print each numbered message that reaches AWS IoT's broker: runs in the lab's host `iot`, behind AWS IoT's front.

Real AWS IoT keeps what it has acknowledged. The lab's broker dies with the fault `broker-down`, and what it had not
passed on by then is gone, through no fault of the device's. So this reader asks for QoS 0, which mosquitto writes to a
subscriber before it acknowledges to the publisher, reads what is left after the broker's death, and is back within a
few milliseconds, before a device can be.
"""

import contextlib
import json
import socket
import sys
import time
from collections.abc import Iterator

from lab.path.gateway import packets

_AGAIN = 0.003
_RECEIVE = 1 << 18


def main(path: str, *topics: str) -> None:
    """Listen until the process is ended."""
    opening = packets.write_connect(packets.Connect(packets.V311, "soak-listener", clean=True, keep_alive=0))
    wanted = packets.Subscribe(1, tuple((topic, 0) for topic in topics))
    opening += packets.write_subscribe(wanted, packets.V311)
    while True:
        # A broker that is away is what a fault is about.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            connection.sendall(opening)
            _listen(connection)
            _say({"event": "away", "at": time.time()})
        time.sleep(_AGAIN)


def _listen(connection: socket.socket) -> None:
    for data, at in _packets(connection):
        if at.kind == packets.SUBACK:
            _say({"event": "listening", "at": time.time()})
        elif at.kind == packets.PUBLISH:
            publish = packets.read_publish(data, at, packets.V311)
            number = json.loads(bytes(data[publish.payload : at.end]))["number"]
            _say({"at": time.time(), "topic": publish.topic.decode(), "number": number})


def _packets(connection: socket.socket) -> Iterator[tuple[bytearray, packets.Frame]]:
    pending = bytearray()
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(_RECEIVE):
            pending += data
            position = 0
            while (at := packets.frame(pending, position)) is not None and at.end <= len(pending):
                yield pending, at
                position = at.end
            del pending[:position]


def _say(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
