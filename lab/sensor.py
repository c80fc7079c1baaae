"""How a gateway's broker is opened to the LAN, and how a sensor that has only mosquitto's clients gets to it.

The passwords are a lab's, where nobody else is.
"""

import json
from collections.abc import Sequence

from lab.path.site import SENSOR

_AGENT_PASSWORD, _SENSOR_PASSWORD = "of-the-agent", "of-the-sensor"
_PASSWORD_FILE = "/etc/private-iot/mqtt-password"  # noqa: S105 - its place


def open_broker(publish: Sequence[str], subscribe: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the command for a gateway on which the agent is installed, as docs/operations.md has its parts.

    Args:
        publish: Lines of `mqtt.publish`.
        subscribe: Lines of `mqtt.subscribe`.
    """
    settings = {"publish": list(publish), "subscribe": list(subscribe), "username": "agent"}
    lines = ["[mqtt]", *(f"{key} = {json.dumps(value)}" for key, value in settings.items())]
    script = f"""\
printf '%s\\n' "$@" 'password_file = "{_PASSWORD_FILE}"' > /etc/private-iot/agent.toml
mosquitto_passwd -b -c /etc/mosquitto/passwd agent {_AGENT_PASSWORD}
mosquitto_passwd -b /etc/mosquitto/passwd {SENSOR} {_SENSOR_PASSWORD}
chown mosquitto /etc/mosquitto/passwd
umask 077
printf {_AGENT_PASSWORD} > {_PASSWORD_FILE}
chown private-iot {_PASSWORD_FILE}
device-agent mqtt enable --lan
"""
    return ("sh", "-euc", script, "open-broker", *lines)


def client_options(gateway: str) -> tuple[str, ...]:
    """Return the options of mosquitto_pub and mosquitto_sub on the sensor.

    Args:
        gateway: Its address in the LAN.
    """
    return ("-h", gateway, "-u", SENSOR, "-P", _SENSOR_PASSWORD, "-q", "1")
