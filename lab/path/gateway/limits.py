"""What AWS IoT Core limits, and what it says in CONNACK.

Sources: QUOTAS = docs.aws.amazon.com/general/latest/gr/iot-core.html (message broker and protocol limits),
MQTT = docs.aws.amazon.com/iot/latest/developerguide/mqtt.html, VPC = …/developerguide/IoTCore-VPC.html.
"""

from enum import Enum

MAXIMUM_PAYLOAD = 128 * 1024
"""Bytes of a publish's payload (QUOTAS, "Message size")."""

MAXIMUM_PACKET = 149_504
"""Bytes of a whole packet, 146 KiB: the Maximum Packet Size of a CONNACK (MQTT, "MQTT 5 properties")."""

MAXIMUM_TOPIC = 256
"""Bytes of UTF-8 of a topic or a topic filter (QUOTAS, "Topic size")."""

MAXIMUM_SLASHES = 7
"""Slashes of a topic or a topic filter, those of ``$aws/rules/NAME/`` not counted (QUOTAS)."""

MAXIMUM_SUBSCRIPTIONS = 8
"""Topic filters of one SUBSCRIBE (QUOTAS, "Subscriptions per subscription request")."""

MAXIMUM_CLIENT_ID = 128
"""Bytes of UTF-8 of a client ID (QUOTAS, "Client ID size")."""

RECEIVE_MAXIMUM = 100
"""QoS 1 publishes without a PUBACK, either way (QUOTAS, "… unacknowledged QoS 1 publish requests")."""

TOPIC_ALIAS_MAXIMUM = 8
"""Topic aliases of an MQTT 5 client (QUOTAS, "Topic aliases")."""

PUBLISHES_PER_SECOND = 100
"""Publishes of one connection a second (QUOTAS, "Publish requests per second per connection"); enforced on demand."""

MINIMUM_KEEP_ALIVE = 30
"""Seconds; a shorter keep-alive is treated as this (QUOTAS, "Connection inactivity")."""

MAXIMUM_KEEP_ALIVE = 1200
"""Seconds; used for a keep-alive of 0 and for longer ones (QUOTAS, "Connection inactivity")."""

MAXIMUM_KEEP_ALIVE_VPC_ENDPOINT = 230
"""Seconds; longer ones are cut to it on an interface endpoint, and MQTT 3.1.1 clients are not told (VPC)."""

GRACE = 1.5
"""A client is dropped after this many keep-alives of silence (QUOTAS; MQTT 5.0 section 3.1.2.10)."""

RESERVED_PUBLISH = (
    "$aws/things/",
    "$aws/rules/",
    "$aws/certificates/",
    "$aws/provisioning-templates/",
    "$aws/commands/",
)
"""Reserved topics that clients may publish to (developerguide/reserved-topics.html)."""

RESERVED_SUBSCRIBE = ("$aws/",)
"""Reserved topics that clients may subscribe to (developerguide/reserved-topics.html)."""


class DeniedPublish(Enum):
    """What an MQTT 5 client gets for a QoS 1 publish that its policies do not allow.

    No page of AWS settles it. The reason-code table of MQTT (the page) gives 0x87 "Not authorized" to PUBACK and to
    DISCONNECT alike.
    """

    PUBACK = "puback"
    DISCONNECT = "disconnect"


DENIED_PUBLISH = DeniedPublish.PUBACK
"""The default. MQTT 5.0 section 4.13.2 wants an error told in the acknowledgement where there is one, and a user of
awsiotsdk's MQTT 5 client saw a publish that AWS IoT did not allow complete without a disconnection
(aws-iot-device-sdk-python-v2 issue 462). A QoS 0 publish has no acknowledgement: it gets a DISCONNECT either way."""


def effective_keep_alive(requested: int, *, over_vpc_endpoint: bool) -> int:
    """The keep-alive in seconds that the server uses for a client that asked for ``requested`` seconds (0: none)."""
    longest = MAXIMUM_KEEP_ALIVE_VPC_ENDPOINT if over_vpc_endpoint else MAXIMUM_KEEP_ALIVE
    return longest if requested == 0 else max(MINIMUM_KEEP_ALIVE, min(requested, longest))


def topic_fault(topic: str) -> str | None:
    """Why AWS IoT refuses a topic or a topic filter for its form, None when it does not."""
    size = len(topic.encode())
    if not 1 <= size <= MAXIMUM_TOPIC:
        return f"topic of {size} bytes; AWS IoT takes 1 to {MAXIMUM_TOPIC}"
    counted = topic
    if topic.startswith("$aws/rules/"):  # Basic Ingest: the first three slashes are free
        counted = topic.split("/", 3)[-1]
    elif topic.startswith("$share/"):  # the share name is no part of the filter (MQTT 5.0 section 4.8.2)
        counted = topic.split("/", 2)[-1]
    slashes = counted.count("/")
    if slashes > MAXIMUM_SLASHES:
        return f"topic with {slashes} slashes; AWS IoT takes {MAXIMUM_SLASHES}"
    return None
