"""Plain paho-mqtt: MQTT 3.1.1, its default, with as many messages in flight as AWS IoT takes.

Its one argument is a JSON object: `endpoint`, `port`, `client_id`, `topic`, perhaps `keep_alive` in seconds, and for
TLS `certificate`, `key` and `roots`. Without these it speaks to a broker on loopback: that is the program before the
mosquitto bridge.
"""

import importlib
import json
import sys
import threading
from concurrent.futures import Future
from typing import Any

from bench.peers import program

TIMEOUT = 60.0
IN_FLIGHT = 100
"""AWS IoT's own limit (general/latest/gr/iot-core.html, "Maximum inbound unacknowledged QoS 1 publish requests");
paho-mqtt's default is 20."""


class Paho(program.Peer):
    """Publishes by one client and connects before anything else."""

    def __init__(self, options: dict[str, Any]) -> None:
        # It is in an environment of its own, where nobody checks types.
        paho: Any = importlib.import_module("paho.mqtt.client")
        self.topic = options["topic"]
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[None]] = {}
        self._early: set[int] = set()
        connected = threading.Event()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=options["client_id"])
        if "certificate" in options:
            self.client.tls_set(ca_certs=options["roots"], certfile=options["certificate"], keyfile=options["key"])
        self.client.max_inflight_messages_set(IN_FLIGHT)
        self.client.on_publish = self._published
        self.client.on_connect = lambda *_arguments: connected.set()
        self.client.connect(options["endpoint"], options["port"], options.get("keep_alive", 60))
        self.client.loop_start()
        if not connected.wait(TIMEOUT):
            raise SystemExit(f"paho-mqtt did not connect within {TIMEOUT:g} s")

    def publish(self, payload: bytes) -> "Future[None]":
        """Give a future that is done when PUBACK has come."""
        future: Future[None] = Future()
        identifier = self.client.publish(self.topic, payload, qos=1).mid
        # No lock is held while it publishes: the client's own thread holds one of the client's when it calls back.
        with self._lock:
            early = identifier in self._early
            if early:
                self._early.remove(identifier)
            else:
                self._waiting[identifier] = future
        if early:
            future.set_result(None)
        return future

    def _published(self, _client: Any, _data: Any, identifier: int, *_more: Any) -> None:
        with self._lock:
            future = self._waiting.pop(identifier, None)
            if future is None:
                self._early.add(identifier)
        if future is not None:
            future.set_result(None)


if __name__ == "__main__":
    program.serve(Paho(json.loads(sys.argv[1])))
