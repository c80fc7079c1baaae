"""The gateway's table: which certificates are registered, what their policies say, where to listen.

The table is JSON, written by the part that reads the cloud::

    {"endpoint": "abc-ats.iot.ap-northeast-1.amazonaws.com", "region": "ap-northeast-1", "accountId": "123456789012",
     "server": {"certificateFile": "…", "privateKeyFile": "…"}, "deviceRootsFile": "…",
     "listeners": [{"address": "10.0.1.105", "vpcEndpointId": "vpce-…", "vpcId": "vpc-…"},
                   {"address": "203.0.113.10", "vpcEndpointId": null, "vpcId": null}],
     "certificates": {"SHA256HEX": {"status": "ACTIVE", "policies": ["name"], "things": ["pi-1"]}},
     "policies": {"name": {"Version": "2012-10-17", "Statement": []}}}

Optional: ``certificatePem`` in a certificate (needed when another authority than ``deviceRootsFile``'s issued it), and
``things``: ``{"pi-1": {"thingTypeName": "pi", "attributes": {"room": "1"}}}`` for the thing policy variables.
"""

import ipaddress
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any


class TableError(ValueError):
    """The table cannot be used; the message names the member, its value and what is wanted."""


@dataclass(frozen=True)
class Listener:
    """An address that devices reach, and the interface endpoint that it belongs to (None: the public internet)."""

    address: str
    vpc_endpoint_id: str | None
    vpc_id: str | None


@dataclass(frozen=True)
class Certificate:
    """A certificate registered with AWS IoT.

    Attributes:
        status: as AWS says it: ACTIVE, INACTIVE, REVOKED, PENDING_TRANSFER, PENDING_ACTIVATION.
        policies: names of the attached policies.
        things: names of the things that it is attached to.
        pem: the certificate itself, when the table holds it.
    """

    status: str
    policies: tuple[str, ...]
    things: tuple[str, ...]
    pem: str | None = None


@dataclass(frozen=True)
class Thing:
    """What the thing policy variables need to know of a thing."""

    thing_type_name: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Table:
    """Everything that the gateway knows. ``certificates`` is keyed by the lower-case hex SHA-256 of the DER."""

    endpoint: str
    region: str
    account_id: str
    certificate_file: Path
    private_key_file: Path
    device_roots_file: Path
    listeners: tuple[Listener, ...]
    certificates: Mapping[str, Certificate]
    policies: Mapping[str, Mapping[str, object]]
    things: Mapping[str, Thing]

    def arn(self, resource: str) -> str:
        """The ARN of ``client/ID``, ``topic/T`` or ``topicfilter/F`` in this account and Region."""
        partition = {"cn": "aws-cn", "us-gov": "aws-us-gov"}.get(self.region.rsplit("-", 2)[0], "aws")
        return f"arn:{partition}:iot:{self.region}:{self.account_id}:{resource}"


def _member(source: Mapping[str, Any], name: str, kind: type, *, where: str = "table") -> Any:
    value = source.get(name)
    if not isinstance(value, kind):
        found = "missing" if name not in source else repr(value)
        raise TableError(f"{where}: {name} is {found}; a JSON {kind.__name__} is needed")
    return value


def _optional_text(source: Mapping[str, Any], name: str, *, where: str) -> str | None:
    return None if source.get(name) is None else str(_member(source, name, str, where=where))


def _listener(source: Mapping[str, Any], where: str) -> Listener:
    address = _member(source, "address", str, where=where)
    try:
        ipaddress.ip_address(address)
    except ValueError as error:
        raise TableError(f"{where}: address {address!r} is no IP address") from error
    endpoint = _optional_text(source, "vpcEndpointId", where=where)
    vpc = _optional_text(source, "vpcId", where=where)
    return Listener(address, endpoint, vpc)


def _certificate(source: Mapping[str, Any], where: str, known: Mapping[str, object]) -> Certificate:
    policies = tuple(map(str, _member(source, "policies", list, where=where)))
    for name in policies:
        if name not in known:
            raise TableError(f"{where}: policy {name!r} is not among the table's policies {sorted(known)}")
    return Certificate(
        status=_member(source, "status", str, where=where),
        policies=policies,
        things=tuple(map(str, _member(source, "things", list, where=where))),
        pem=_optional_text(source, "certificatePem", where=where),
    )


def _thing(source: Mapping[str, Any], where: str) -> Thing:
    return Thing(_optional_text(source, "thingTypeName", where=where), dict(source.get("attributes") or {}))


def _each(source: Mapping[str, Any], where: str, make: Callable[[Mapping[str, Any], str], Any]) -> dict[str, Any]:
    for name, value in source.items():
        if not isinstance(value, dict):
            raise TableError(f"{where}.{name} is {value!r}; a JSON object is needed")
    return {name: make(value, f"{where}.{name}") for name, value in source.items()}


def parse(source: Mapping[str, Any]) -> Table:
    """Check a table and give it types.

    Raises:
        TableError: a member is missing or of another form.
    """
    server = _member(source, "server", dict)
    policies = _member(source, "policies", dict)
    listeners = _member(source, "listeners", list)
    made = tuple(_listener(value, f"listeners[{index}]") for index, value in enumerate(listeners))
    for listener in made:
        if [other.address for other in made].count(listener.address) > 1:
            raise TableError(f"listeners: address {listener.address} twice; one listener owns an address")
    certificates = _each(
        _member(source, "certificates", dict), "certificates", lambda value, where: _certificate(value, where, policies)
    )
    return Table(
        endpoint=_member(source, "endpoint", str).lower(),
        region=_member(source, "region", str),
        account_id=_member(source, "accountId", str),
        certificate_file=Path(_member(server, "certificateFile", str, where="server")),
        private_key_file=Path(_member(server, "privateKeyFile", str, where="server")),
        device_roots_file=Path(_member(source, "deviceRootsFile", str)),
        listeners=made,
        certificates={fingerprint.lower(): value for fingerprint, value in certificates.items()},
        policies=_each(policies, "policies", lambda value, _: value),
        things=_each(source.get("things") or {}, "things", _thing),
    )


def with_provisioned(table: Table, known: Mapping[str, Any]) -> Table:
    """Give a table with what fleet provisioning has added since it was written.

    Args:
        known: `certificates`, `policies` and `things` as in the table's file.
    """
    policies = {**table.policies, **known["policies"]}
    certificates = _each(
        known["certificates"], "certificates", lambda value, where: _certificate(value, where, policies)
    )
    return replace(
        table,
        policies=policies,
        certificates={**table.certificates, **certificates},
        things={**table.things, **_each(known["things"], "things", _thing)},
    )


def load(file: Path) -> Table:
    """Read a table.

    Raises:
        TableError: the file cannot be read, is not JSON or not a table.
    """
    try:
        source = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise TableError(f"{file}: {error}") from error
    if not isinstance(source, dict):
        raise TableError(f"{file}: a JSON object is needed")
    return parse(source)
