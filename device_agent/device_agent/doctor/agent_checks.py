"""The doctor's last two checks through the running agent, so that an examination does not interrupt it.

AWS IoT allows one connection a client ID. While the agent is connected, it is asked for its connection, and the echo
goes through its socket, queue and subscription: the way that every message takes.
"""

from __future__ import annotations

import uuid
from typing import Any

from device_agent._exceptions import DeviceAgentError
from device_agent.address_rule import describe_rule
from device_agent.client import AGENT_SOCKET, Channel, PublishRefusedError
from device_agent.doctor.checks import CheckContext, Finding
from device_agent.installation import AGENT_SERVICE, STATE_DIRECTORY
from device_agent.system import System

_ATTEMPTS = 6
_ANSWER_TIMEOUT = 20.0
"""Seconds for the agent's answer, and for the echo: its publish is tried again for a while."""
_CANNOT_QUEUE = {
    "storage": (
        "the disk does not take another message; what was accepted before is kept",
        f"`df -h {STATE_DIRECTORY}`: make room; for a failing card see `journalctl -k`",
    ),
    "full": (
        "the queue is full and set to refuse; what was accepted before is kept",
        "wait until it is sent (`device-agent status`), or allow it more",
    ),
}
"""Meaning and remedy by the answer's code."""


def agent_is_connected(system: System) -> bool:
    """Tell whether the agent runs and is connected to AWS IoT; one that has just started gets a moment."""
    try:
        for _attempt in range(_ATTEMPTS):
            if _status(system)["connection"]["connected"]:
                return True
            system.wait(0.5)
    except (DeviceAgentError, OSError, ValueError, LookupError, TypeError):
        return False
    return False


def check_agent_connection(context: CheckContext) -> Finding:
    """Ask the agent for its connection."""
    try:
        connection = _status(context.system)["connection"]
    except (DeviceAgentError, OSError, ValueError, LookupError, TypeError) as error:
        return _lost(f"the agent gives no answer: {error}")
    if not connection["connected"]:
        return _lost(f"the agent has lost its connection: {connection['lastError']}")
    seen = f"the agent is connected to {', '.join(connection['addresses'])} since {connection['since']}"
    return Finding("ok", f"{seen}; {_address_rule(context.system)}")


def _address_rule(system: System) -> str:
    """Say whether the kernel itself keeps the running agent to the VPC's addresses."""
    try:
        with _channel(system) as channel:
            channel.send({"command": "try-forbidden-address"})
            answer = channel.receive().get("answer", "the agent is of an earlier release")
    except (DeviceAgentError, OSError, ValueError) as error:
        answer = str(error)
    return describe_rule(answer)


def check_agent_echo(context: CheckContext) -> Finding:
    """Publish a message through the agent and wait for it on a subscription through the agent."""
    try:
        with _channel(context.system) as channel:
            _echo(channel)
    except PublishRefusedError as error:
        if error.code in _CANNOT_QUEUE:
            return Finding("failed", str(error), *_CANNOT_QUEUE[error.code])
        return _no_echo(context, str(error))
    except TimeoutError:
        return _no_echo(context, f"the agent's echo did not come back within {_ANSWER_TIMEOUT:g} s")
    except (DeviceAgentError, OSError, ValueError, LookupError) as error:
        return _no_echo(context, str(error))
    return Finding("ok", f"a message to '{context.installation.topic_prefix}/echo' came back through the agent")


def _echo(channel: Channel) -> None:
    message = f"echo {uuid.uuid4()}"
    channel.send({"command": "subscribe", "filter": "echo"})
    while True:
        event = channel.receive()
        if event.get("event") == "message" and event.get("payload") == message:
            return
        if event.get("event") == "subscribed":
            channel.send({"command": "publish", "topic": "echo", "payload": message})
        if event.get("event") == "refused" or event.get("ok") is False:
            raise PublishRefusedError(event["error"], event.get("code", "invalid"))


def _status(system: System) -> dict[str, Any]:
    with _channel(system) as channel:
        channel.send({"command": "status"})
        status = channel.receive()["status"]
    if not isinstance(status, dict):
        raise TypeError("the agent's status is no object")
    return status


def _channel(system: System) -> Channel:
    return Channel(str(system.path(AGENT_SOCKET)), timeout=_ANSWER_TIMEOUT)


def _lost(seen: str) -> Finding:
    return Finding(
        "failed",
        seen,
        "the path was there a moment ago and is not now",
        f"ask again; if it stays so, `journalctl -u {AGENT_SERVICE}` tells more",
    )


def _no_echo(context: CheckContext, seen: str) -> Finding:
    prefix = context.installation.topic_prefix
    return Finding(
        "failed",
        seen,
        "the agent is connected, but a message to oneself does not come back",
        f"check the IoT policy's iot:Publish, iot:Subscribe and iot:Receive for {prefix}/*, and `device-agent status`",
    )
