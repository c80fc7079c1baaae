"""CONNECT and CONNACK as AWS IoT has them: pure checks, no connection.

Sources: docs.aws.amazon.com/general/latest/gr/iot-core.html (limits), developerguide/mqtt.html (differences from the
specification, MQTT 5 properties).
"""

import uuid
from dataclasses import dataclass, replace

from lab.path.gateway import limits, packets
from lab.path.gateway.packets import V5, V311, Buffer, Connect, Frame, MalformedPacketError, Property

BROKER_KEEP_ALIVE = 65535
"""Seconds; the gateway watches the keep-alive, and the broker must not, since its idea of it is another."""


class RefusedConnectError(ValueError):
    """A CONNECT that AWS IoT does not accept.

    Attributes:
        level: how the client has to be answered: MQTT 5 or 3.1.1.
        code: the MQTT 5 reason code.
        return_code: the MQTT 3.1.1 return code, None to hang up without a CONNACK.
    """

    def __init__(self, message: str, *, level: int, code: int, return_code: int | None = None) -> None:
        super().__init__(message)
        self.level = level
        self.code = code
        self.return_code = return_code


@dataclass(frozen=True)
class Opening:
    """A CONNECT that may go on to be authorized.

    Attributes:
        connect: the CONNECT, with the client ID in force.
        assigned: whether the client sent none and the server chose it.
        keep_alive: seconds in force at the server.
    """

    connect: Connect
    assigned: bool
    keep_alive: int


def read_opening(data: Buffer, at: Frame, *, over_vpc_endpoint: bool) -> Opening:
    """Read and check the first packet of a connection.

    Raises:
        MalformedPacketError: it is no CONNECT.
        RefusedConnectError: AWS IoT does not accept it.
    """
    if at.kind != packets.CONNECT:
        raise MalformedPacketError("the first packet is no CONNECT", 0x82)
    name, level = packets.protocol_of(data, at)
    if name != "MQTT" or level not in (V311, V5):
        message = f"protocol {name!r} level {level}; AWS IoT takes MQTT 3.1.1 and 5"
        raise RefusedConnectError(message, level=V311, code=0x84, return_code=1)
    connect = packets.read_connect(data, at)
    if any(identifier == packets.AUTHENTICATION_METHOD for identifier, _ in connect.properties):
        raise RefusedConnectError("enhanced authentication, which AWS IoT does not support", level=level, code=0x8C)
    size = len(connect.client_id.encode())
    if size > limits.MAXIMUM_CLIENT_ID or (not size and level == V311 and not connect.clean):
        message = f"client ID of {size} bytes; AWS IoT takes 1 to {limits.MAXIMUM_CLIENT_ID}"
        raise RefusedConnectError(message, level=level, code=0x85, return_code=2)
    if connect.will is not None and connect.will.qos == 2:
        raise RefusedConnectError("will with QoS 2, which AWS IoT does not support", level=level, code=0x9B)
    if connect.will is not None and len(connect.will.payload) > limits.MAXIMUM_PAYLOAD:
        raise RefusedConnectError("will of more than 128 KiB", level=level, code=0x95)
    return Opening(
        connect=connect if size else replace(connect, client_id=f"$GEN/{uuid.uuid4()}"),
        assigned=not size,
        keep_alive=limits.effective_keep_alive(connect.keep_alive, over_vpc_endpoint=over_vpc_endpoint),
    )


def for_broker(connect: Connect) -> bytes:
    """The CONNECT as the broker gets it."""
    return packets.write_connect(replace(connect, keep_alive=BROKER_KEEP_ALIVE))


def acknowledgement(opening: Opening, broker_properties: list[Property], *, session_present: bool) -> bytes:
    """The CONNACK that the device gets for the broker's.

    What the broker says of itself is left out; its session expiry stands, since it keeps the session.
    """
    told: list[Property] = [item for item in broker_properties if item[0] == packets.SESSION_EXPIRY]
    told += [
        (packets.RECEIVE_MAXIMUM, limits.RECEIVE_MAXIMUM),
        (packets.MAXIMUM_QOS, 1),
        (packets.RETAIN_AVAILABLE, 1),
        (packets.MAXIMUM_PACKET_SIZE, limits.MAXIMUM_PACKET),
        (packets.TOPIC_ALIAS_MAXIMUM, limits.TOPIC_ALIAS_MAXIMUM),
        (packets.WILDCARD_AVAILABLE, 1),
        (packets.SUBSCRIPTION_ID_AVAILABLE, 0),
        (packets.SHARED_AVAILABLE, 1),
    ]
    if opening.assigned:
        told.append((packets.ASSIGNED_CLIENT_ID, opening.connect.client_id.encode()))
    if opening.keep_alive != opening.connect.keep_alive:
        told.append((packets.SERVER_KEEP_ALIVE, opening.keep_alive))
    return packets.write_connack(opening.connect.level, 0, session_present=session_present, properties=told)
