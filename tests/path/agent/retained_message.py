"""Prints what AWS IoT's broker retains on a topic.

Run in the lab's host `iot`: `python retained_message.py SOCKET TOPIC`, with the checkout on PYTHONPATH. Prints nothing
where nothing is retained.
"""

from __future__ import annotations

import socket
import sys

from lab.path.gateway import packets

_LEVEL = packets.V311
_CONNECT = packets.binary(b"MQTT") + bytes([_LEVEL, 2]) + bytes(2) + packets.binary(b"reads-retained")


def main(path: str, topic: str) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(60)
        connection.connect(path)
        connection.sendall(packets.packet(packets.CONNECT, 0, _CONNECT))
        connection.sendall(packets.write_subscribe(packets.Subscribe(1, ((topic, 0),)), _LEVEL))
        # What is retained follows the SUBACK, and the answer to the ping follows both.
        connection.sendall(packets.packet(packets.PINGREQ, 0, b""))
        data = bytearray()
        position = 0
        while received := connection.recv(65536):
            data += received
            while (frame := packets.frame(data, position)) is not None and frame.end <= len(data):
                position = frame.end
                if frame.kind == packets.PUBLISH:
                    sys.stdout.buffer.write(data[packets.read_publish(data, frame, _LEVEL).payload : frame.end])
                if frame.kind == packets.PINGRESP:
                    return


if __name__ == "__main__":
    main(*sys.argv[1:])
