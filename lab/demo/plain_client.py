"""An MQTT client that knows nothing of the device agent: the walk-through's own attempt, on MQTT 3.1.1.

Run on a device with its endpoint's name; prints what happened and ends with 0 if AWS IoT took the connection, 1 if not.
"""

import sys

from awscrt.exceptions import AwsCrtError
from awsiot import mqtt_connection_builder

TIMEOUT = 20
"""Seconds for the connection."""


def main(endpoint: str, client_id: str) -> int:
    """Connect once with the installed certificate.

    Args:
        endpoint: The account's ATS data endpoint.
        client_id: The MQTT client ID.

    Returns:
        0 if connected, 1 if refused.
    """
    connection = mqtt_connection_builder.mtls_from_path(
        endpoint=endpoint,
        cert_filepath="/etc/private-iot/certificate.pem",
        pri_key_filepath="/etc/private-iot/private-key.pem",
        client_id=client_id,
        clean_session=True,
    )
    print(f"Connecting to {endpoint} with client ID '{client_id}'...", flush=True)
    try:
        connection.connect().result(TIMEOUT)
    except AwsCrtError as error:
        print(f"{error.name}: {error.message}", flush=True)
        return 1
    print("Connected!", flush=True)
    connection.disconnect().result(TIMEOUT)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
