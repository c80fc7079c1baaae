"""Topics and topic filters: under the device's prefix, within AWS IoT's limits, and which topics a filter asks for.

QUOTAS = https://docs.aws.amazon.com/general/latest/gr/iot-core.html. AWS IoT ends the connection of whoever uses what
it does not take, so that all of it is refused before it is sent.
"""

from __future__ import annotations

import re

from device_agent._exceptions import DeviceAgentError

MAX_TOPIC = 256
"""Bytes of UTF-8 (QUOTAS, "Topic size")."""
MAX_SLASHES = 7
"""Of a topic or a filter; those of `$aws/rules/RULE/` and of `$share/NAME/` do not count (QUOTAS)."""
MAX_SHARE_NAME = 128
"""Characters (https://docs.aws.amazon.com/iot/latest/developerguide/mqtt.html, "Shared subscriptions")."""
RESERVED = "$aws/"
"""All that clients may use of the topics that begin with `$`, besides `$share/` in filters
(https://docs.aws.amazon.com/iot/latest/developerguide/reserved-topics.html)."""
_SHARED = re.compile(r"\$share/([^/+#]+)/(.+)", re.DOTALL)


class TopicError(DeviceAgentError):
    """A topic or topic filter that AWS IoT would not take."""


def complete_topic(topic: str, prefix: str, *, absolute: bool = False) -> str:
    """Put a topic or filter under the device's prefix, where the device's IoT policy allows it.

    Args:
        topic: One that already begins with the prefix, or with `$`, is taken as it is.
        prefix: The device's topic prefix, without a slash at its end.
        absolute: Whether to take the topic as it is in any case.
    """
    if absolute or topic == prefix or topic.startswith((f"{prefix}/", "$")):
        return topic
    return f"{prefix}/{topic}"


def check_topic(topic: str) -> None:
    """Refuse a topic that AWS IoT would not take a publish to.

    Raises:
        TopicError: It is empty, too long or too deep, holds a wildcard or a control character, or is reserved.
    """
    _check_text("topic", topic)
    _check_size("topic", topic.split("/", 3)[-1] if topic.startswith("$aws/rules/") else topic)
    if "+" in topic or "#" in topic:
        raise TopicError(f"the topic {topic!r} holds a wildcard; + and # are for subscriptions only")


def check_filter(topic_filter: str) -> None:
    """Refuse a topic filter that AWS IoT would not take a subscription to.

    Raises:
        TopicError: As for `check_topic`, or a wildcard is not a level of its own (MQTT 5, section 4.7.1).
    """
    what, inner = "topic filter", topic_filter
    if topic_filter.startswith("$share/"):
        shared = _SHARED.fullmatch(topic_filter)
        if shared is None or len(shared[1]) > MAX_SHARE_NAME:
            raise TopicError(
                f"the {what} {topic_filter[:60]!r} is not $share/NAME/FILTER with a NAME of at most"
                f" {MAX_SHARE_NAME} characters without /, + and #"
            )
        _check_text("share name", shared[1])
        inner = shared[2]
    _check_text(what, inner)
    _check_size(what, inner)
    levels = inner.split("/")
    if "#" in levels[:-1] or any(("+" in level or "#" in level) and len(level) > 1 for level in levels):
        raise TopicError(f"the {what} {topic_filter!r}: + must be a level of its own, and # the last one")


def _check_text(what: str, text: str) -> None:
    if not text:
        raise TopicError(f"the {what} is empty")
    if not text.isprintable():
        raise TopicError(f"the {what} {text[:60]!r} holds a character that cannot be printed")
    if text.startswith("$") and not text.startswith(RESERVED):
        raise TopicError(
            f"the {what} {text[:60]!r} begins with $: AWS IoT keeps these to itself and takes {RESERVED}… alone"
        )


def _check_size(what: str, text: str) -> None:
    size, slashes = len(text.encode()), text.count("/")
    if size > MAX_TOPIC:
        raise TopicError(f"the {what} {text[:40]!r}… has {size} bytes; AWS IoT takes {MAX_TOPIC}")
    if slashes > MAX_SLASHES:
        raise TopicError(f"the {what} {text!r} has {slashes} slashes; AWS IoT takes {MAX_SLASHES}")


def matches(topic_filter: str, topic: str) -> bool:
    """Tell whether a topic is one that a filter asks for (MQTT 5, sections 4.7 and 4.8.2)."""
    shared = _SHARED.fullmatch(topic_filter)
    wanted, levels = (shared[2] if shared else topic_filter).split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    for place, level in enumerate(wanted):
        if level == "#":
            return True
        if place >= len(levels) or level not in ("+", levels[place]):
            return False
    return len(wanted) == len(levels)


def covers(wide: str, narrow: str) -> bool:
    """Tell whether every topic that one filter asks for is one that another asks for as well."""
    shared = _SHARED.fullmatch(narrow)
    outer, inner = wide.split("/"), (shared[2] if shared else narrow).split("/")
    if inner[0].startswith("$") and outer[0] in ("+", "#"):
        return False
    for place, level in enumerate(outer):
        if level == "#":
            return True
        if place >= len(inner) or inner[place] == "#" or level not in ("+", inner[place]):
            return False
    return len(outer) == len(inner)
