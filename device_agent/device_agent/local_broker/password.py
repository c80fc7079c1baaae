"""The password of the agent's user at the broker."""

from __future__ import annotations

from device_agent._exceptions import DeviceAgentError
from device_agent.installation import check_file
from device_agent.settings import MqttSettings
from device_agent.system import System


def read_password(system: System, settings: MqttSettings) -> str | None:
    """Read the password of the agent's user at the broker.

    Raises:
        DeviceAgentError: There is no such file, others may read it, or it is empty.
    """
    if not settings.username:
        return None
    if not settings.password_file.startswith("/"):
        raise DeviceAgentError(
            f"mqtt.password_file is {settings.password_file!r}; with mqtt.username an absolute path belongs there"
        )
    if not system.path(settings.password_file).exists():
        raise DeviceAgentError(
            f"mqtt.password_file {settings.password_file} is missing; write the password of {settings.username!r} into"
            " it, for the agent's user alone"
        )
    check_file(system, settings.password_file, secret=True)
    password = system.path(settings.password_file).read_text("utf-8").strip("\n")
    if not password:
        raise DeviceAgentError(f"mqtt.password_file {settings.password_file} is empty; write the password into it")
    return password
