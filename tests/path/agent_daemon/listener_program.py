"""Print every message that reaches AWS IoT's broker, one JSON line each: runs in the host `iot` of the lab's network.

It listens behind the gateway, on the broker's own socket, so that no fault of the path is a fault of the listener's.
"""

import json
import os
import sys
import threading
import time

from awscrt import io, mqtt5

READY = "listening"


def main(path: str) -> None:
    """Listen until the process is killed."""
    subscribed = threading.Event()

    def received(data: mqtt5.PublishReceivedData) -> None:
        packet = data.publish_packet
        line = {
            "at": time.time(),
            "topic": packet.topic,
            "payload": (packet.payload or b"").decode(errors="replace"),
            "properties": {item.name: item.value for item in packet.user_properties or []},
        }
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()

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
            connect_options=mqtt5.ConnectPacket(
                # Another listener's session would begin with what came since.
                client_id=f"listener-{os.getpid()}-{time.time_ns()}",
                keep_alive_interval_sec=60,
                session_expiry_interval_sec=3600,
            ),
            # The broker keeps what comes while it is not listened to, and itself may be killed.
            session_behavior=mqtt5.ClientSessionBehaviorType.REJOIN_ALWAYS,
            min_reconnect_delay_ms=20,
            max_reconnect_delay_ms=200,
            on_publish_callback_fn=received,
            on_lifecycle_event_connection_success_fn=connected,
        )
    )
    client.start()
    subscribed.wait()
    sys.stdout.write(READY + "\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1])
