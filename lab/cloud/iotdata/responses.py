"""The wire format of AWS IoT's data plane where moto's lacks something."""

import base64
import json
from typing import cast
from urllib.parse import unquote

from moto.iotdata import responses as moto

from lab.cloud.iotdata.models import IoTDataPlaneBackend, Publication


class IoTDataPlaneResponse(moto.IoTDataPlaneResponse):
    @property
    def _lab(self) -> IoTDataPlaneBackend:
        return cast("IoTDataPlaneBackend", self.iotdata_backend)

    def publish(self) -> str:
        self._lab.publish_message(
            self._topic("/topics/"),
            self.body if isinstance(self.body, bytes) else str(self.body).encode(),
            qos=int(self.querystring.get("qos", ["0"])[0]),
            retain=self.querystring.get("retain", ["false"])[0] == "true",
        )
        return "{}"

    def get_retained_message(self) -> str:
        message = self._lab.retained_message(self._topic("/retainedMessage/"))
        return json.dumps({**_summary(message), "payload": base64.b64encode(message.payload).decode()})

    def list_retained_messages(self) -> str:
        """Answer ListRetainedMessages, in one page."""
        topics = [{**_summary(message), "payloadSize": len(message.payload)} for message in self._lab.retained.values()]
        return json.dumps({"retainedTopics": topics})

    def _topic(self, before: str) -> str:
        return unquote(self.path.partition(before)[2])


def _summary(message: Publication) -> dict[str, object]:
    return {"topic": message.topic, "qos": message.qos, "lastModifiedTime": int(message.time * 1000)}
