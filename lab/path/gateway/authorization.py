"""What one connection may do: the request context of AWS IoT, and decisions kept for as long as the table stands.

Sources (IOT = docs.aws.amazon.com/iot/latest/developerguide/): actions and their resources IOT/iot-policy-actions.html
and IOT/iot-action-resources.html; variables IOT/basic-policy-variables.html, thing-policy-variables.html,
cert-policy-variables.html; connect attributes IOT/connect-policy.html; ``aws:SourceVpce``, ``aws:SourceVpc`` and
``aws:VpcSourceIp`` IOT/IoTCore-VPC.html.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from lab.path.gateway.limits import RESERVED_PUBLISH, RESERVED_SUBSCRIBE, topic_fault
from lab.path.gateway.packets import Connect
from lab.path.gateway.table import Certificate, Listener, Table
from lab.path.iot_policy import Decision, Request, depends_on_time, evaluate

_KEPT_DECISIONS = 4096


@dataclass(frozen=True)
class Peer:
    """Who is at the other end of a TLS connection.

    Attributes:
        address: the IP address that the connection comes from (the VPN's network interface for a device behind it).
        certificate_id: lower-case hex SHA-256 of the certificate's DER, which is AWS IoT's certificate ID.
        certificate_fields: ``iot:Certificate.…`` variables of the certificate.
    """

    address: str
    port: int
    certificate_id: str
    certificate_fields: Mapping[str, str]


@dataclass(frozen=True)
class Verdict:
    """The answer to one packet.

    Attributes:
        code: MQTT 5 reason code, 0 when the packet may pass.
        action: the policy action that was asked for.
        fatal: whether the connection ends even where MQTT 5 has an acknowledgement for the error.
        silent: whether the connection goes on even where there is no acknowledgement for the error.
    """

    code: int = 0
    reason: str = ""
    action: str = ""
    fatal: bool = False
    silent: bool = False


ALLOWED = Verdict()
NOT_AUTHORIZED, TOPIC_FILTER_INVALID, TOPIC_NAME_INVALID = 0x87, 0x8F, 0x90

_SUBJECT_FIELDS = {
    "commonName": "CommonName",
    "countryName": "Country",
    "organizationName": "Organization",
    "organizationalUnitName": "OrganizationalUnit",
    "stateOrProvinceName": "State",
    "localityName": "Locality",
    "title": "Title",
    "surname": "Surname",
    "givenName": "GivenName",
    "initials": "Initials",
    "pseudonym": "Pseudonym",
    "generationQualifier": "GenerationQualifier",
    "dnQualifier": "DistinguishedNameQualifier",
}


def certificate_fields(parsed: Mapping[str, object]) -> dict[str, str]:
    """The ``iot:Certificate.…`` variables of a certificate as ``ssl.SSLObject.getpeercert()`` gives it.

    A name that occurs more than once has its first value under the plain name and each under ``.0``, ``.1`` and so on.
    """
    found: dict[str, str] = {}
    for part, prefix in (("subject", "Subject"), ("issuer", "Issuer")):
        counts: dict[str, int] = {}
        names = parsed.get(part, ())
        for name, value in (pair for group in (names if isinstance(names, tuple) else ()) for pair in group):
            field = _SUBJECT_FIELDS.get(name)
            if field:
                key = f"iot:Certificate.{prefix}.{field}"
                found.setdefault(key, value)
                found[f"{key}.{counts.setdefault(field, 0)}"] = value
                counts[field] += 1
    serial = parsed.get("serialNumber")
    if isinstance(serial, str):
        found["iot:Certificate.SerialNumber"] = serial
    return found


def request_context(
    table: Table, listener: Listener, peer: Peer, certificate: Certificate, thing_name: str | None
) -> dict[str, str]:
    """What every request's context has, whatever it asks for.

    ``aws:SourceIp`` is the client's public address and absent over an interface endpoint, where ``aws:VpcSourceIp``
    takes its place (IAM/reference_policies_condition-keys.html). Thing variables resolve only for the name of a thing
    that the certificate is attached to (IOT/thing-policy-variables.html).

    Args:
        thing_name: what the client calls itself: its client ID, or the thing that it names to the credential provider.
    """
    context = {"iot:DomainName": table.endpoint, "aws:SecureTransport": "true"}
    if listener.vpc_endpoint_id is None:
        context["aws:SourceIp"] = peer.address
    else:
        context["aws:SourceVpce"] = listener.vpc_endpoint_id
        context["aws:VpcSourceIp"] = peer.address
        if listener.vpc_id is not None:
            context["aws:SourceVpc"] = listener.vpc_id
    attached = thing_name in certificate.things
    context["iot:Connection.Thing.IsAttached"] = "true" if attached else "false"
    if thing_name is not None and attached:
        context["iot:Connection.Thing.ThingName"] = thing_name
        thing = table.things.get(thing_name)
        if thing is not None:
            if thing.thing_type_name is not None:
                context["iot:Connection.Thing.ThingTypeName"] = thing.thing_type_name
            for name, value in thing.attributes.items():
                context[f"iot:Connection.Thing.Attributes[{name}]"] = value
    return {**peer.certificate_fields, **context}


def connect_context(
    table: Table, listener: Listener, peer: Peer, certificate: Certificate, connect: Connect
) -> dict[str, str]:
    """Everything of a connection's context that has one value."""
    context = request_context(table, listener, peer, certificate, connect.client_id)
    context["iot:ClientId"] = connect.client_id
    if connect.will is not None:
        context["iot:LastWillTopic"] = table.arn(f"topic/{connect.will.topic}")
    return context


def is_persistent(connect: Connect) -> bool:
    """Whether a CONNECT asks for a session that outlives the connection."""
    if connect.level == 4:
        return not connect.clean
    return any(identifier == 0x11 and value for identifier, value in connect.properties)


class Authorization:
    """Decides for one connection under one table.

    Args:
        table: the table in force.
        certificate: the table's entry of the peer's certificate.
        connect: the CONNECT, with the client ID in force.
    """

    def __init__(
        self, table: Table, listener: Listener, peer: Peer, certificate: Certificate, connect: Connect
    ) -> None:
        self.thing = connect.client_id if connect.client_id in certificate.things else None
        self._table = table
        self._connect = connect
        self._policies = {name: table.policies[name] for name in certificate.policies}
        self._kept = not any(map(depends_on_time, self._policies.values()))
        self._context: dict[str, str | list[str]] = dict(connect_context(table, listener, peer, certificate, connect))
        attributes = ["LastWill"] * (connect.will is not None) + ["PersistentConnect"] * is_persistent(connect)
        if attributes:
            self._context["iot:ConnectAttributes"] = attributes
        self._verdicts: dict[tuple[str, bytes], Verdict] = {}

    def _decide(self, action: str, resource: str) -> Decision:
        now = time.time()
        self._context["aws:CurrentTime"] = datetime.fromtimestamp(now, UTC).isoformat()
        self._context["aws:EpochTime"] = str(int(now))
        return evaluate(self._policies, Request(action, self._table.arn(resource), self._context))

    def _require(self, action: str, resource: str) -> Verdict:
        decision = self._decide(action, resource)
        return ALLOWED if decision.allowed else Verdict(NOT_AUTHORIZED, decision.reason, action)

    def _lookup(self, kind: str, raw: bytes) -> Verdict:
        topic = raw.decode(errors="replace")
        if kind == "receive":
            return self._require("iot:Receive", f"topic/{topic}")
        return self._publish(topic, retain=kind == "retain")

    def verdict(self, kind: str, topic: bytes) -> Verdict:
        """The verdict on a message; ``kind`` is ``publish``, ``retain`` (a publish with RETAIN) or ``receive``.

        A topic is looked at once; what was decided is kept until the table changes.
        """
        key = (kind, topic)
        known = self._verdicts.get(key)
        if known is None:
            known = self._lookup(kind, topic)
            if self._kept:
                if len(self._verdicts) >= _KEPT_DECISIONS:
                    self._verdicts.clear()
                self._verdicts[key] = known
        return known

    def _publish(self, topic: str, *, retain: bool) -> Verdict:
        fault = topic_fault(topic)
        if fault is None and ("+" in topic or "#" in topic or "\0" in topic or "\ufffd" in topic):
            fault = "topic with a wildcard, U+0000 or ill-formed UTF-8"
        if fault is not None:
            return Verdict(TOPIC_NAME_INVALID, fault, "iot:Publish")
        if topic.startswith("$") and (retain or not topic.startswith(RESERVED_PUBLISH)):
            # reserved-topics.html: "can result in a terminated connection"; mqtt.html: no RETAIN on reserved topics
            return Verdict(TOPIC_NAME_INVALID, f"reserved topic {topic}", "iot:Publish", fatal=True)
        verdict = self._require("iot:Publish", f"topic/{topic}")
        if verdict is ALLOWED and retain:
            verdict = self._require("iot:RetainPublish", f"topic/{topic}")
        return verdict

    def connect(self) -> Verdict:
        """The verdict on the connection itself: iot:Connect, and iot:Publish (and RetainPublish) for its will.

        That a will is judged at CONNECT and not when it is published is this gateway's choice; no page settles it.
        """
        verdict = self._require("iot:Connect", f"client/{self._connect.client_id}")
        will = self._connect.will
        if verdict is ALLOWED and will is not None:
            verdict = self._publish(will.topic, retain=will.retain)
        return verdict

    def subscribe(self, topic_filter: str) -> Verdict:
        """The verdict on one topic filter of a SUBSCRIBE; ``+`` and ``#`` are compared as they stand."""
        fault = topic_fault(topic_filter)
        if fault is not None:
            return Verdict(TOPIC_FILTER_INVALID, fault, "iot:Subscribe")
        if topic_filter.startswith("$") and not topic_filter.startswith((*RESERVED_SUBSCRIBE, "$share/")):
            return Verdict(TOPIC_FILTER_INVALID, f"reserved topic filter {topic_filter}", "iot:Subscribe", fatal=True)
        return self._require("iot:Subscribe", f"topicfilter/{topic_filter}")
