"""Deliver renewed VPN certificates without ssh: `pulumi stack output --json | python -m private_iot.deliver`.

Each device's certificate, which is public, becomes a retained message of QoS 1 on the device's own topic
`PREFIX/NAME/agent/certificates`: `{"version": 1, "vpnCertificatePem": PEM}`. A device that is away takes it when it is
back; its agent proves it before it trusts it. What AWS IoT already retains is not published again. The AWS credentials
are boto3's own; they need iot:Publish, iot:RetainPublish and iot:GetRetainedMessage on those topics. No Pulumi here.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

import boto3
from botocore.exceptions import BotoCoreError, ClientError

VERSION = 1
INPUT_LIMIT = 64 * 1024 * 1024
"""Bytes of the stack's outputs: a device's are a few kB."""
_PEM = "-----BEGIN CERTIFICATE-----"


class InputError(Exception):
    """Standard input is not what this command needs; one line says so."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One device's certificate on its way."""

    device: str
    topic: str
    payload: bytes


def deliveries(outputs: object) -> tuple[str, tuple[Delivery, ...]]:
    """Read the stack's outputs.

    Args:
        outputs: What `pulumi stack output --json` printed, of which `iotEndpoint` and `vpnCertificates` count.

    Returns:
        The data endpoint, and what has to be delivered, by device.

    Raises:
        InputError: One of the two is missing, or no such thing.
    """
    if not isinstance(outputs, Mapping):
        raise InputError("standard input is no JSON object; give it the output of: pulumi stack output --json")
    endpoint, certificates = outputs.get("iotEndpoint"), outputs.get("vpnCertificates")
    if not isinstance(endpoint, str) or not isinstance(certificates, Mapping):
        raise InputError(
            "standard input lacks iotEndpoint or vpnCertificates; give it all outputs: pulumi stack output --json"
        )
    found = []
    for device in sorted(certificates):
        entry = certificates[device]
        prefix = entry.get("topicPrefix") if isinstance(entry, Mapping) else None
        pem = entry.get("certificatePem") if isinstance(entry, Mapping) else None
        if not isinstance(prefix, str) or not isinstance(pem, str) or not pem.lstrip().startswith(_PEM):
            raise InputError(f"vpnCertificates of {device!r} has no topicPrefix or no certificatePem; run pulumi up")
        payload = json.dumps({"version": VERSION, "vpnCertificatePem": pem}, separators=(",", ":"), sort_keys=True)
        found.append(Delivery(str(device), f"{prefix}/agent/certificates", payload.encode()))
    return endpoint, tuple(found)


def deliver(client: Any, delivery: Delivery, *, publishes: bool = True) -> bool:
    """Publish one device's certificate, unless it is what the topic retains already.

    Args:
        client: boto3's `iot-data`.
        delivery: What to publish.
        publishes: False only looks.

    Returns:
        Whether it was published, or would be.

    Raises:
        ClientError: AWS refused a call.
        BotoCoreError: AWS was not reached.
    """
    try:
        if client.get_retained_message(topic=delivery.topic).get("payload") == delivery.payload:
            return False
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
    if publishes:
        client.publish(topic=delivery.topic, qos=1, retain=True, payload=delivery.payload)
    return True


def iot_data(endpoint: str, profile: str | None) -> Any:
    """Return boto3's client of the account's data endpoint; `AWS_ENDPOINT_URL…` points it elsewhere as usual."""
    session = boto3.Session(profile_name=profile)
    # a1b2c3-ats.iot.REGION.amazonaws.com: AWS IoT's own name tells the Region, which a session may not.
    labels = endpoint.split(".")
    region = labels[labels.index("iot") + 1] if "iot" in labels[:-1] else session.region_name
    elsewhere = os.environ.get("AWS_ENDPOINT_URL_IOT_DATA_PLANE") or os.environ.get("AWS_ENDPOINT_URL")
    return session.client("iot-data", region_name=region, endpoint_url=elsewhere or f"https://{endpoint}")


def main(
    arguments: Sequence[str] | None = None,
    *,
    stdin: TextIO | None = None,
    connect: Callable[[str, str | None], Any] = iot_data,
) -> int:
    """Run the command.

    Returns:
        0 when every certificate is where it belongs, 1 when AWS refused one, 2 for unusable input.
    """
    parser = argparse.ArgumentParser(
        prog="python -m private_iot.deliver",
        description="Publish renewed VPN certificates to their devices. Standard input: pulumi stack output --json",
    )
    parser.add_argument("--profile", help="AWS profile; by default boto3's own choice")
    parser.add_argument("--dry-run", action="store_true", help="say what would be published, and publish nothing")
    parsed = parser.parse_args(arguments)
    try:
        text = (stdin or sys.stdin).read(INPUT_LIMIT + 1)
        if len(text) > INPUT_LIMIT:
            raise InputError(f"standard input has more than {INPUT_LIMIT} bytes; pass one stack's outputs")
        try:
            endpoint, found = deliveries(json.loads(text))
        except (ValueError, RecursionError):
            raise InputError("standard input is no JSON; give it the output of: pulumi stack output --json") from None
        client = connect(endpoint, parsed.profile)
    except (InputError, BotoCoreError) as error:
        print(f"deliver: {error}", file=sys.stderr)
        return 2
    failed = False
    for delivery in found:
        try:
            published = deliver(client, delivery, publishes=not parsed.dry_run)
        except (ClientError, BotoCoreError) as error:
            failed = True
            print(f"{delivery.device}: not delivered to {delivery.topic}: {error}", file=sys.stderr)
        else:
            said = "would be published" if parsed.dry_run else "published"
            print(f"{delivery.device}: {said if published else 'unchanged'} ({delivery.topic})")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
