"""Plain awsiotsdk: its MQTT 5 client as its documentation has it, with the SDK's defaults unless told otherwise.

Its one argument is a JSON object: `endpoint`, `certificate`, `key`, `client_id`, `topic`, `flow_control` (`default`, or
`none` for the client without its own limit of 100 publishes a second), and perhaps `keep_alive` in seconds.
"""

import json
import sys
import threading
from concurrent.futures import Future
from typing import Any

from awscrt import mqtt5
from awsiot import mqtt5_client_builder

from bench.peers import program

TIMEOUT = 60.0


class Sdk(program.Peer):
    """Publishes by one client and connects before anything else."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.topic = options["topic"]
        connected = threading.Event()
        # What is not among the options is left to the SDK.
        further: dict[str, Any] = {}
        if options["flow_control"] == "none":
            further["extended_validation_and_flow_control_options"] = mqtt5.ExtendedValidationAndFlowControlOptions.NONE
        if "keep_alive" in options:
            further["keep_alive_interval_sec"] = options["keep_alive"]
        self.client = mqtt5_client_builder.mtls_from_path(
            endpoint=options["endpoint"],
            cert_filepath=options["certificate"],
            pri_key_filepath=options["key"],
            client_id=options["client_id"],
            on_lifecycle_connection_success=lambda _data: connected.set(),
            **further,
        )
        self.client.start()
        if not connected.wait(TIMEOUT):
            raise SystemExit(f"awsiotsdk did not connect within {TIMEOUT:g} s")

    def publish(self, payload: bytes) -> "Future[None]":
        """Give a future that is done when PUBACK has come."""
        packet = mqtt5.PublishPacket(topic=self.topic, payload=payload, qos=mqtt5.QoS.AT_LEAST_ONCE)
        answered: Future[None] = Future()

        def done(future: "Future[Any]") -> None:
            error = future.exception()
            if error is not None:
                answered.set_exception(error)
            elif int(future.result().puback.reason_code) >= 0x80:
                answered.set_exception(RuntimeError(f"refused: {future.result().puback.reason_code}"))
            else:
                answered.set_result(None)

        self.client.publish(packet).add_done_callback(done)
        return answered


if __name__ == "__main__":
    program.serve(Sdk(json.loads(sys.argv[1])))
