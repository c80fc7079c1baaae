"""What was published through the API, in order, for the lab's broker to take; and what is retained."""

import time
from dataclasses import dataclass

from moto.iotdata import models as moto
from moto.iotdata.exceptions import InvalidRequestException, ResourceNotFoundException

PAYLOAD_LIMIT = 128 * 1024
"""Bytes of a message (AWS IoT Core endpoints and quotas)."""
KEPT = 10_000
"""Publications that are kept for the broker; it waits for them."""


@dataclass(frozen=True)
class Publication:
    """One message that was published through the API."""

    number: int
    topic: str
    payload: bytes
    qos: int
    retain: bool
    time: float


class IoTDataPlaneBackend(moto.IoTDataPlaneBackend):
    """AWS IoT's data plane of one account and Region."""

    def __init__(self, region_name: str, account_id: str) -> None:
        super().__init__(region_name, account_id)
        self.publications: list[Publication] = []
        self.retained: dict[str, Publication] = {}

    def publish_message(self, topic: str, payload: bytes, *, qos: int, retain: bool) -> None:
        """Publish a message; a retained one without payload takes the retained one away (MQTT 5, section 3.3.1.3)."""
        if len(payload) > PAYLOAD_LIMIT:
            raise InvalidRequestException(f"The payload has {len(payload)} bytes; the limit is {PAYLOAD_LIMIT}")
        number = self.publications[-1].number + 1 if self.publications else 1
        publication = Publication(number, topic, payload, qos, retain, time.time())
        self.publications = [*self.publications[-KEPT + 1 :], publication]
        if retain:
            self.retained.pop(topic, None)
            if payload:
                self.retained[topic] = publication

    def retained_message(self, topic: str) -> Publication:
        if topic not in self.retained:
            raise ResourceNotFoundException
        return self.retained[topic]
