"""The device agent: its Python API hands each message to the daemon, which answers when it is on disk."""

from collections.abc import Sequence
from concurrent.futures import Future

from device_agent.client import Publisher

from bench.peers import program

TOPIC = "bench"


class Agent(program.Peer):
    """Publishes through the daemon."""

    def __init__(self) -> None:
        self.publisher = Publisher(timeout=program.TIMEOUT)

    def publish(self, payload: bytes) -> "Future[None]":
        """Return when the message is durable."""
        self.publisher.publish(TOPIC, payload)
        future: Future[None] = Future()
        future.set_result(None)
        return future

    def publish_all(self, payloads: Sequence[bytes]) -> None:
        """Return when all are durable."""
        self.publisher.publish_many([(TOPIC, payload) for payload in payloads])


if __name__ == "__main__":
    program.serve(Agent())
