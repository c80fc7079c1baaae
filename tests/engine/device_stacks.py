"""A base stack and stacks of devices beside it, in one state."""

from dataclasses import replace
from typing import Any

from cryptography import x509

from tests.engine.aws import Cloud
from tests.engine.conftest import StackFactory
from tests.engine.stack import Stack

BASE = "organization/private-iot/base"
OF_A_DEVICE = {
    "tls:index/privateKey:PrivateKey": 2,
    "tls:index/certRequest:CertRequest": 2,
    "tls:index/locallySignedCert:LocallySignedCert": 1,
    "aws:iot/thing:Thing": 1,
    "aws:iot/certificate:Certificate": 1,
    "aws:iot/policyAttachment:PolicyAttachment": 1,
    "aws:iot/thingPrincipalAttachment:ThingPrincipalAttachment": 1,
    "pulumi-python:dynamic/private-iot:ThingDetachment": 1,
}


def beside(base: Stack, name: str, **config: Any) -> Stack:
    """Another stack of the same state."""
    made = replace(
        base,
        directory=base.directory / name,
        name=name,
        config={"aws:region": base.engine.region, **{f"private-iot:{key}": value for key, value in config.items()}},
    )
    made.initialise()
    return made


def base_stack(new_stack: StackFactory, cloud: Cloud, devices: list[str], *names: str) -> Stack:
    config = {"private-iot:devices": devices, "private-iot:disconnectOnSessionTimeout": True}
    if names:
        config["private-iot:deviceStacks"] = [f"organization/private-iot/{name}" for name in names]
    return new_stack(cloud, "base", config=config)


def serial(stack: Stack, device: str) -> str:
    pem = stack.outputs(show_secrets=True)["vpnCertificates"][device]["certificatePem"]
    text = f"{x509.load_pem_x509_certificate(pem.encode()).serial_number:X}"
    return text.zfill(len(text) + len(text) % 2)
