"""Building the MQTT 5 client of the private path, and saying what its errors mean.

The SDK's defaults fail in ways that a device cannot recover from: its resolver keeps an address for 30 s after the
tunnel is gone, its keep-alive of 20 minutes is over AWS IoT's 230 s limit for VPC endpoints, and its queue resends a
publish that the service answers by hanging up without end. Every connection of the agent is therefore built here.
"""

from __future__ import annotations

from collections.abc import Callable

from awscrt import io, mqtt5
from awscrt.exceptions import AwsCrtError

from device_agent._exceptions import ConnectionFailedError, InstallationError, RefusedError
from device_agent.addresses import resolve_inside
from device_agent.installation import Installation
from device_agent.system import System

PORT = 8883
"""MQTT with TLS (https://docs.aws.amazon.com/iot/latest/developerguide/protocols.html)."""
KEEP_ALIVE = 120
"""Seconds. A PINGREQ waits behind the message that is on its way, and the SDK gives it half of this: the longest
message (128 KiB) takes 40 s on a line of 32 kbit/s. The agent itself notices a dead path within seconds. AWS IoT
shortens anything over 230 s on a VPC endpoint (https://docs.aws.amazon.com/iot/latest/developerguide/IoTCore-VPC.html)
and raises anything under 30 s."""
PING_TIMEOUT = 60
"""Seconds to wait for an answer to a ping before the path counts as dead."""
CONNECT_TIMEOUT = 10
"""Seconds for TCP and for CONNACK, each."""
ACK_TIMEOUT = 10
"""Seconds to wait for PUBACK or SUBACK once the line has carried what was asked."""
_REJOIN = mqtt5.ClientSessionBehaviorType.REJOIN_ALWAYS


def client_bootstrap() -> io.ClientBootstrap:
    """Make a bootstrap with a resolver of its own, so that no address is remembered from an earlier connection."""
    group = io.EventLoopGroup(1)
    return io.ClientBootstrap(group, io.DefaultHostResolver(group))


def tls_context(installation: Installation, port: int = PORT) -> io.ClientTlsContext:
    """Load the device's certificate and key, and the authorities that the server is checked against.

    Args:
        installation: Where the files are.
        port: 443 adds the ALPN name by which AWS IoT tells MQTT from HTTPS
            (https://docs.aws.amazon.com/iot/latest/developerguide/protocols.html).

    Returns:
        A context that checks the server's name and chain.

    Raises:
        InstallationError: A file cannot be read or used.
    """
    try:
        options = io.TlsContextOptions.create_client_with_mtls(
            installation.certificate_file.read_bytes(), installation.private_key_file.read_bytes()
        )
        if installation.root_ca_file is not None:
            options.override_default_trust_store(installation.root_ca_file.read_bytes())
        if port == 443:
            options.alpn_list = ["x-amzn-mqtt-ca"]
        return io.ClientTlsContext(options)
    except OSError as error:
        raise InstallationError(
            f"{error.filename} cannot be read: {error.strerror}; run the command with sudo"
        ) from error
    except AwsCrtError as error:
        raise InstallationError(
            f"the certificate and private key in {installation.certificate_file.parent} cannot be used ({error.name});"
            " install the device's bundle again with `device-agent install -`"
        ) from error


def build_client(
    system: System,
    installation: Installation,
    *,
    port: int = PORT,
    will: mqtt5.PublishPacket | None = None,
    min_reconnect_delay: float = 1,
    max_reconnect_delay: float = 10,
    receive_maximum: int | None = None,
    ack_timeout: int = ACK_TIMEOUT,
    session_expiry: int = 0,
    on_publish_received: Callable[[mqtt5.PublishReceivedData], None] | None = None,
    on_attempting_connect: Callable[[mqtt5.LifecycleAttemptingConnectData], None] | None = None,
    on_connection_success: Callable[[mqtt5.LifecycleConnectSuccessData], None] | None = None,
    on_connection_failure: Callable[[mqtt5.LifecycleConnectFailureData], None] | None = None,
    on_disconnection: Callable[[mqtt5.LifecycleDisconnectData], None] | None = None,
    on_stopped: Callable[[mqtt5.LifecycleStoppedData], None] | None = None,
) -> mqtt5.Client:
    """Build an MQTT 5 client after checking that the endpoint's name leads into the VPC. It is not started.

    The client has a resolver of its own: build a new one for each connection, so that a change of the name's answer is
    seen. Its session is clean unless one is to be kept, and everything in flight fails when the connection does.
    Callbacks run on the SDK's thread and must not block.

    Args:
        system: The machine whose resolver is asked.
        installation: The endpoint, the client ID, certificate, key and authorities.
        port: 8883, or 443 with ALPN.
        will: The message that AWS IoT publishes if the connection is lost.
        min_reconnect_delay: Seconds before the client's own first reconnect; full jitter applies.
        max_reconnect_delay: Its longest delay, in seconds.
        receive_maximum: How many unacknowledged messages AWS IoT may send.
        ack_timeout: Seconds from a publish's hand-over to the kernel to PUBACK.
        session_expiry: Seconds that AWS IoT keeps the session after the connection's end; 0 for a clean one.
        on_publish_received: Called for each message received.
        on_attempting_connect: Called at each attempt.
        on_connection_success: Called with CONNACK.
        on_connection_failure: Called with the error, or the refusing CONNACK.
        on_disconnection: Called when an established connection ends.
        on_stopped: Called when the client has stopped.

    Returns:
        The client.

    Raises:
        AddressError: The name does not resolve, or leads outside the VPC.
        InstallationError: The certificate or key cannot be used.
    """
    resolve_inside(system, installation)
    socket_options = io.SocketOptions()
    socket_options.connect_timeout_ms = CONNECT_TIMEOUT * 1000
    return mqtt5.Client(
        mqtt5.ClientOptions(
            host_name=installation.endpoint,
            port=port,
            bootstrap=client_bootstrap(),
            socket_options=socket_options,
            tls_ctx=tls_context(installation, port),
            connect_options=mqtt5.ConnectPacket(
                client_id=installation.client_id,
                keep_alive_interval_sec=KEEP_ALIVE,
                will=will,
                receive_maximum=receive_maximum,
                session_expiry_interval_sec=session_expiry or None,
            ),
            session_behavior=_REJOIN if session_expiry else mqtt5.ClientSessionBehaviorType.CLEAN,
            # Without the SDK's own throttle of 100 publishes a second; AWS IoT's answer is heeded instead.
            extended_validation_and_flow_control_options=mqtt5.ExtendedValidationAndFlowControlOptions.NONE,
            offline_queue_behavior=mqtt5.ClientOperationQueueBehaviorType.FAIL_ALL_ON_DISCONNECT,
            retry_jitter_mode=mqtt5.ExponentialBackoffJitterMode.FULL,
            min_reconnect_delay_ms=int(min_reconnect_delay * 1000),
            max_reconnect_delay_ms=int(max_reconnect_delay * 1000),
            ping_timeout_ms=PING_TIMEOUT * 1000,
            connack_timeout_ms=CONNECT_TIMEOUT * 1000,
            ack_timeout_sec=ack_timeout,
            disable_metrics=True,
            on_publish_callback_fn=on_publish_received,
            on_lifecycle_event_attempting_connect_fn=on_attempting_connect,
            on_lifecycle_event_connection_success_fn=on_connection_success,
            on_lifecycle_event_connection_failure_fn=on_connection_failure,
            on_lifecycle_event_disconnection_fn=on_disconnection,
            on_lifecycle_event_stopped_fn=on_stopped,
        )
    )


_HUNG_UP = "AWS_ERROR_MQTT_UNEXPECTED_HANGUP"
_CERTIFICATE_REFUSED = "AWS IoT refused the device's certificate: it is not registered, not active or revoked"
_MEANINGS = {
    _HUNG_UP: "AWS IoT hung up: the certificate is not active, the IoT policy does not allow this client ID or topic"
    " over this VPC endpoint, or another client uses the same client ID",
    "AWS_ERROR_MQTT5_CONNACK_CONNECTION_REFUSED": "AWS IoT refused the connection",
    "AWS_ERROR_MQTT_CONNECTION_CLOSED": "the connection was closed",
    "AWS_ERROR_MQTT5_PING_RESPONSE_TIMEOUT": "the path went dead: no answer to a ping",
    "AWS_ERROR_MQTT_TIMEOUT": "no answer in time",
    "AWS_ERROR_MQTT5_OPERATION_PROCESSING_TIMEOUT": "no acknowledgement in time",
    "AWS_ERROR_MQTT5_CONNACK_TIMEOUT": "no answer to CONNECT in time",
    "AWS_IO_TLS_ERROR_READ_FAILURE": _CERTIFICATE_REFUSED,
    "AWS_IO_TLS_ERROR_ALERT_RECEIVED": _CERTIFICATE_REFUSED,
    "AWS_IO_TLS_ERROR_NEGOTIATION_FAILURE": "TLS failed: the server's certificate is not trusted or has another name;"
    " check the clock and the root certificate",
    "AWS_IO_TLS_NEGOTIATION_TIMEOUT": "TLS got no answer in time",
    "AWS_IO_DNS_INVALID_NAME": "the name cannot be resolved: the tunnel's resolver does not answer",
    "AWS_IO_DNS_NO_ADDRESS_FOR_HOST": "the name has no address",
    "AWS_IO_SOCKET_TIMEOUT": "nothing answers on the endpoint's address: check the tunnel and the security groups",
    "AWS_IO_SOCKET_CONNECTION_REFUSED": "the endpoint's address refuses the port",
    "AWS_IO_SOCKET_NO_ROUTE_TO_HOST": "there is no route to the endpoint's address: the tunnel is down",
    "AWS_IO_SOCKET_CLOSED": "the connection was closed",
}
_REFUSALS = {
    0x85: "the client ID is not valid",
    0x87: "not authorized: the certificate's IoT policy does not allow it over this VPC endpoint",
    0x88: "the service is unavailable",
    0x89: "the service is busy",
    0x8C: "the authentication method is not supported",
    0x8E: "another client connected with the same client ID",
    0x90: "the topic name is not valid",
    0x97: "a quota was exceeded",
}


def explain_error(error: BaseException) -> str:
    """Say in one line what an SDK error means, with the SDK's own name in brackets.

    Args:
        error: An exception of the SDK, or any other.

    Returns:
        The meaning, without a remedy.
    """
    name = error.name if isinstance(error, AwsCrtError) else type(error).__name__
    meaning = _MEANINGS.get(name) or (error.message if isinstance(error, AwsCrtError) else str(error))
    return f"{meaning} [{name}]" if meaning else name


def explain_reason(code: int, reason: str | None = None) -> str:
    """Say what an MQTT 5 reason code of 0x80 or more means.

    Args:
        code: The code of CONNACK, PUBACK, SUBACK or DISCONNECT
            (https://docs.oasis-open.org/mqtt/mqtt/v5.0/os/mqtt-v5.0-os.html#_Toc3901031).
        reason: The reason string that came with it.

    Returns:
        The meaning with the code in hexadecimal.
    """
    meaning = _REFUSALS.get(code, "refused")
    return f"{meaning} [reason code 0x{code:02X}{': ' + reason if reason else ''}]"


def explain_failure(data: mqtt5.LifecycleConnectFailureData) -> str:
    """Say why a connection attempt failed: by CONNACK's reason code if there is one, else by the SDK's error."""
    connack = data.connack_packet
    if connack is not None and connack.reason_code:
        return explain_reason(int(connack.reason_code), connack.reason_string)
    return explain_error(data.exception)


def failure_of(endpoint: str, data: mqtt5.LifecycleConnectFailureData) -> ConnectionFailedError:
    """Make the exception for a connection attempt that failed.

    Args:
        endpoint: Who was asked.
        data: What the SDK says.

    Returns:
        A `RefusedError` if AWS IoT answered: by CONNACK, or by ending TLS at the device's certificate. In TLS 1.3
        the handshake is over for the client before the server has judged that (RFC 8446, section 2), so that it
        looks like hanging up in place of CONNACK.
    """
    message = f"{endpoint}: {explain_failure(data)}"
    connack = data.connack_packet
    if connack is not None and connack.reason_code:
        return RefusedError(message, int(connack.reason_code))
    if _CERTIFICATE_REFUSED in message or getattr(data.exception, "name", "") == _HUNG_UP:
        return RefusedError(message)
    return ConnectionFailedError(message)


def check_reason(what: str, code: int, reason: str | None = None) -> None:
    """Refuse a PUBACK, SUBACK or UNSUBACK that carries an error: the SDK's future completes all the same.

    Args:
        what: What was asked for, such as `publish to 'pi-1/test'`.
        code: The packet's reason code.
        reason: Its reason string.

    Raises:
        RefusedError: The code is 0x80 or more.
    """
    if code >= 0x80:
        raise RefusedError(f"AWS IoT refused to {what}: {explain_reason(code, reason)}", code)
