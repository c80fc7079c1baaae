"""Building the MQTT 5 client of the broker on this device.

The session is persistent: the broker keeps for the agent what comes while the agent is away. It acknowledges nothing by
itself; whoever receives does, when a message is where it is to be kept.
"""

from __future__ import annotations

from collections.abc import Callable

from awscrt import mqtt5

from device_agent.local_broker.password import read_password
from device_agent.messages import MAX_PAYLOAD
from device_agent.mqtt import client_bootstrap
from device_agent.settings import MqttSettings
from device_agent.system import System
from device_agent.topics import MAX_TOPIC

HOST = "127.0.0.1"
CLIENT_ID = "private-iot-agent"
SESSION_EXPIRY = 7 * 24 * 3600
"""Seconds that the broker keeps messages for an agent that is away."""
RECEIVE_MAXIMUM = 100
"""Messages that the broker may send without an acknowledgement: 13 MiB of the largest. What it has sent is safe when it
is killed; what it holds back is in its memory."""
MAX_PACKET = MAX_PAYLOAD + MAX_TOPIC + 1024
"""Bytes. The broker drops for the agent what is larger (MQTT 5, section 3.1.2.11.4): AWS IoT would not take it."""
KEEP_ALIVE = 30


def build_local_client(
    system: System,
    settings: MqttSettings,
    *,
    on_publish_received: Callable[[mqtt5.PublishReceivedData], None],
    on_connection_success: Callable[[mqtt5.LifecycleConnectSuccessData], None],
    on_connection_failure: Callable[[mqtt5.LifecycleConnectFailureData], None],
    on_disconnection: Callable[[mqtt5.LifecycleDisconnectData], None],
) -> mqtt5.Client:
    """Build a client. It is not started; once it is, it connects again by itself.

    Args:
        system: The machine.
        settings: The port, the user and the file of its password.
        on_publish_received: Called for each message, on the SDK's thread, as are the others.
        on_connection_success: Called with CONNACK.
        on_connection_failure: Called at each failed attempt.
        on_disconnection: Called when a connection ends.

    Raises:
        DeviceAgentError: The password cannot be read.
    """
    return mqtt5.Client(
        mqtt5.ClientOptions(
            host_name=HOST,
            port=settings.port,
            bootstrap=client_bootstrap(),
            connect_options=mqtt5.ConnectPacket(
                client_id=CLIENT_ID,
                username=settings.username or None,
                password=read_password(system, settings),
                keep_alive_interval_sec=KEEP_ALIVE,
                session_expiry_interval_sec=SESSION_EXPIRY,
                receive_maximum=RECEIVE_MAXIMUM,
                maximum_packet_size=MAX_PACKET,
            ),
            session_behavior=mqtt5.ClientSessionBehaviorType.REJOIN_ALWAYS,
            offline_queue_behavior=mqtt5.ClientOperationQueueBehaviorType.FAIL_ALL_ON_DISCONNECT,
            extended_validation_and_flow_control_options=mqtt5.ExtendedValidationAndFlowControlOptions.NONE,
            min_reconnect_delay_ms=500,
            max_reconnect_delay_ms=10_000,
            min_connected_time_to_reset_reconnect_delay_ms=5_000,
            disable_metrics=True,
            on_publish_callback_fn=on_publish_received,
            on_lifecycle_event_connection_success_fn=on_connection_success,
            on_lifecycle_event_connection_failure_fn=on_connection_failure,
            on_lifecycle_event_disconnection_fn=on_disconnection,
        )
    )
