"""The configuration of the mosquitto behind the gateway."""

from pathlib import Path

from lab.path.gateway.limits import RECEIVE_MAXIMUM, TOPIC_ALIAS_MAXIMUM


def mosquitto_configuration(socket_path: Path | str, *, log_types: tuple[str, ...] = ("error", "warning")) -> str:
    """Text for ``mosquitto -c FILE``: the broker listens on a unix socket only, so that the gateway is its one client.

    Args:
        socket_path: where the broker listens; its folder must exist and be closed to others.
        log_types: mosquitto's kinds of log message, to standard error.

    Sessions are kept in memory for one hour, AWS IoT's default (developerguide/mqtt.html, "MQTT persistent sessions"),
    and at most 100 QoS 1 messages to a client wait for their PUBACK, as at AWS IoT.
    """
    lines = [
        f"listener 0 {socket_path}",
        f"max_topic_alias {TOPIC_ALIAS_MAXIMUM}",
        "allow_anonymous true",
        "persistence false",
        "retain_available true",
        "persistent_client_expiration 1h",
        f"max_inflight_messages {RECEIVE_MAXIMUM}",
        "max_queued_messages 100000",
        "sys_interval 0",
        "connection_messages false",
        "log_dest stderr",
        *(f"log_type {log_type}" for log_type in log_types),
        "user root",  # inside a sandbox there is no other user to become; without root mosquitto does not look at it
    ]
    return "\n".join(lines) + "\n"
