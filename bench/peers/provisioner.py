"""Provisions devices as each of them would: a connection of its own with the batch's claim, a certificate, a thing.

Its one argument is a JSON object: `endpoint`, `certificate` and `key` (the claim's files), `template`, `workers`
(devices that are at it at once). Commands, one JSON object a line:

- `{"first": N, "count": N}`: provision serial numbers from `first` on; answered with `seconds`, `things` (their names),
  `failures` (what the others were told) and, for each device, `connect`, `certificate` and `thing`, lists of seconds.
"""

import itertools
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from awscrt import mqtt5
from awscrt.mqtt_request_response import ClientOptions
from awsiot import mqtt5_client_builder
from awsiot.iotidentity import CreateCertificateFromCsrRequest, IotIdentityClientV2, RegisterThingRequest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.peers.program import say

TIMEOUT = 60.0


def request_pem(serial_number: str) -> str:
    """Make a key, as a device does, and its certificate request."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, serial_number)])
    made = x509.CertificateSigningRequestBuilder().subject_name(name)
    signed = made.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def provision(options: dict[str, Any], serial_number: str) -> tuple[str, list[float]]:
    """Provision one device.

    Returns:
        Its thing's name, and the seconds that connection, certificate and thing took.

    Raises:
        Exception: AWS IoT did not connect, refused, or did not answer.
    """
    request = CreateCertificateFromCsrRequest(certificate_signing_request=request_pem(serial_number))
    times = [time.monotonic()]
    connected, stopped = threading.Event(), threading.Event()
    client = mqtt5_client_builder.mtls_from_path(
        endpoint=options["endpoint"],
        cert_filepath=options["certificate"],
        pri_key_filepath=options["key"],
        client_id=f"claim.{serial_number}",
        on_lifecycle_connection_success=lambda _data: connected.set(),
        on_lifecycle_stopped=lambda _data: stopped.set(),
    )
    client.start()
    try:
        if not connected.wait(TIMEOUT):
            raise TimeoutError(f"no connection within {TIMEOUT:g} s")
        times.append(time.monotonic())
        identity = IotIdentityClientV2(client, ClientOptions(4, 1, int(TIMEOUT)))
        made = identity.create_certificate_from_csr(request).result(TIMEOUT)
        times.append(time.monotonic())
        asked = RegisterThingRequest(
            template_name=options["template"],
            certificate_ownership_token=made.certificate_ownership_token,
            parameters={"SerialNumber": serial_number},
        )
        name = str(identity.register_thing(asked).result(TIMEOUT).thing_name)
        times.append(time.monotonic())
    finally:
        client.stop(mqtt5.DisconnectPacket())
        stopped.wait(TIMEOUT)
    return name, [after - before for before, after in itertools.pairwise(times)]


def load(options: dict[str, Any], first: int, count: int) -> dict[str, Any]:
    """Provision so many devices.

    Returns:
        The answer to the command.
    """
    names: list[str] = []
    failures: list[str] = []
    parts: list[list[float]] = []

    def one(number: int) -> None:
        try:
            name, seconds = provision(options, f"{number:08x}")
        except Exception as error:  # noqa: BLE001 # whatever it is, it is counted and told
            failures.append(f"{type(error).__name__}: {getattr(error, 'modeled_error', None) or error}")
        else:
            names.append(name)
            parts.append(seconds)

    began = time.monotonic()
    with ThreadPoolExecutor(int(options["workers"])) as pool:
        list(pool.map(one, range(first, first + count)))
    seconds = time.monotonic() - began
    connect, certificate, thing = (list(part) for part in zip(*parts, strict=True)) if parts else ([], [], [])
    return {
        "seconds": seconds,
        "things": sorted(names),
        "failures": failures,
        "connect": connect,
        "certificate": certificate,
        "thing": thing,
    }


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    say({"ready": True})
    for line in sys.stdin:
        command = json.loads(line)
        say(load(given, command["first"], command["count"]))
