"""AWS IoT's limits, the opening of a connection, and what a connection may do: the pure parts of the gateway.

What this cannot prove: that the parts are wired together; the path tier connects to a running gateway.
"""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.path.gateway import limits, packets
from lab.path.gateway.authorization import ALLOWED, Authorization, Peer, Verdict, certificate_fields, connect_context
from lab.path.gateway.broker import mosquitto_configuration
from lab.path.gateway.opening import Opening, RefusedConnectError, acknowledgement, for_broker, read_opening
from lab.path.gateway.packets import V5, V311, Connect, Will
from lab.path.gateway.table import Table, TableError, parse

ARN = "arn:aws:iot:ap-northeast-1:123456789012"
CERTIFICATE_ID = "ab" * 32
TABLE: dict[str, Any] = {
    "endpoint": "abc-ats.iot.ap-northeast-1.amazonaws.com",
    "region": "ap-northeast-1",
    "accountId": "123456789012",
    "server": {"certificateFile": "/c.pem", "privateKeyFile": "/k.pem"},
    "deviceRootsFile": "/r.pem",
    "listeners": [
        {"address": "10.0.1.105", "vpcEndpointId": "vpce-1", "vpcId": "vpc-1"},
        {"address": "203.0.113.10", "vpcEndpointId": None, "vpcId": None},
    ],
    "certificates": {CERTIFICATE_ID.upper(): {"status": "ACTIVE", "policies": ["p"], "things": ["pi-1"]}},
    "policies": {"p": {"Version": "2012-10-17", "Statement": []}},
    "things": {"pi-1": {"thingTypeName": "pi", "attributes": {"room": "attic"}}},
}


def table(*statements: dict[str, Any], **members: Any) -> Table:
    source = {**copy.deepcopy(TABLE), **members}
    source["policies"] = {"p": {"Version": "2012-10-17", "Statement": list(statements)}}
    return parse(source)


def allow(action: Any, resource: str, **condition: Any) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Action": action,
        "Resource": resource,
        **({"Condition": condition} if condition else {}),
    }


def authorization(found: Table, connect: Connect | None = None, listener: int = 0) -> Authorization:
    peer = Peer("10.0.1.7", 40000, CERTIFICATE_ID, {"iot:Certificate.Subject.CommonName": "AWS IoT Certificate"})
    connect = connect or Connect(V5, "pi-1", clean=True, keep_alive=60)
    return Authorization(found, found.listeners[listener], peer, found.certificates[CERTIFICATE_ID], connect)


# --- limits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requested", "over_vpc_endpoint", "effective"),
    [
        (0, False, 1200),
        (0, True, 230),
        (1, False, 30),
        (60, True, 60),
        (230, True, 230),
        (231, True, 230),
        (5000, False, 1200),
    ],
)
def test_the_keep_alive_is_cut_as_aws_iot_cuts_it(requested: int, over_vpc_endpoint: bool, effective: int) -> None:
    assert limits.effective_keep_alive(requested, over_vpc_endpoint=over_vpc_endpoint) == effective


@pytest.mark.parametrize(
    "topic",
    ["a", "a/b/c/d/e/f/g/h", "$aws/rules/name/a/b/c/d/e/f/g/h", "$share/group/a/b/c/d/e/f/g/h", "x" * 256, "é" * 128],
)
def test_a_topic_within_the_limits_has_no_fault(topic: str) -> None:
    assert limits.topic_fault(topic) is None


@pytest.mark.parametrize(
    ("topic", "fault"),
    [
        ("", "topic of 0 bytes; AWS IoT takes 1 to 256"),
        ("é" * 129, "topic of 258 bytes; AWS IoT takes 1 to 256"),
        ("a/b/c/d/e/f/g/h/i", "topic with 8 slashes; AWS IoT takes 7"),
    ],
)
def test_a_topic_beyond_the_limits_is_told_which(topic: str, fault: str) -> None:
    assert limits.topic_fault(topic) == fault


# --- CONNECT and CONNACK --------------------------------------------------------------------------------------------


def opened(connect: Connect, *, over_vpc_endpoint: bool = True) -> Opening:
    raw = packets.write_connect(connect)
    at = packets.frame(raw, 0)
    assert at is not None
    return read_opening(raw, at, over_vpc_endpoint=over_vpc_endpoint)


def told(connect: Connect, **members: Any) -> dict[int, Any]:
    raw = acknowledgement(opened(connect, **members), [(0x11, 30), (0x22, 10), (0x21, 20)], session_present=False)
    at = packets.frame(raw, 0)
    assert at is not None
    return dict(packets.read_connack(raw, at, V5)[2])


def test_the_connack_of_mqtt_5_says_what_aws_iot_says() -> None:
    properties = told(Connect(V5, "pi-1", clean=True, keep_alive=60))
    assert properties == {0x11: 30, 0x21: 100, 0x24: 1, 0x25: 1, 0x27: 149504, 0x22: 8, 0x28: 1, 0x29: 0, 0x2A: 1}


def test_a_cut_keep_alive_is_told_to_mqtt_5_and_not_to_mqtt_3() -> None:
    assert told(Connect(V5, "pi-1", clean=True, keep_alive=1200))[0x13] == 230
    assert told(Connect(V5, "pi-1", clean=True, keep_alive=3600), over_vpc_endpoint=False)[0x13] == 1200
    raw = acknowledgement(opened(Connect(V311, "pi-1", clean=True, keep_alive=1200)), [], session_present=True)
    assert raw == b"\x20\x02\x01\x00"


def test_a_client_without_an_id_gets_one_and_is_told() -> None:
    opening = opened(Connect(V5, "", clean=True, keep_alive=60))
    assert opening.connect.client_id.startswith("$GEN/")
    properties = dict(packets.read_connack(*_frame_of(acknowledgement(opening, [], session_present=False)), V5)[2])
    assert properties[0x12] == opening.connect.client_id.encode()


def _frame_of(raw: bytes) -> tuple[bytes, packets.Frame]:
    at = packets.frame(raw, 0)
    assert at is not None
    return raw, at


def test_the_broker_is_told_to_leave_the_keep_alive_to_the_gateway() -> None:
    connect = Connect(V311, "pi-1", clean=False, keep_alive=30, will=Will("t", b"gone", 1, retain=True), username=b"u")
    passed = packets.read_connect(*_frame_of(for_broker(connect)))
    assert passed == Connect(V311, "pi-1", clean=False, keep_alive=65535, will=connect.will, username=b"u")


@pytest.mark.parametrize(
    ("connect", "code", "return_code", "message"),
    [
        (Connect(V5, "x" * 129, clean=True, keep_alive=0), 0x85, 2, "client ID of 129 bytes; AWS IoT takes 1 to 128"),
        (Connect(V311, "", clean=False, keep_alive=0), 0x85, 2, "client ID of 0 bytes; AWS IoT takes 1 to 128"),
        (
            Connect(V5, "c", clean=True, keep_alive=0, properties=((0x15, b"SCRAM"),)),
            0x8C,
            None,
            "enhanced authentication",
        ),
        (
            Connect(V5, "c", clean=True, keep_alive=0, will=Will("t", b"", 2, retain=False)),
            0x9B,
            None,
            "will with QoS 2",
        ),
    ],
)
def test_a_connect_that_aws_iot_does_not_take_is_refused(
    connect: Connect, code: int, return_code: int | None, message: str
) -> None:
    with pytest.raises(RefusedConnectError, match=message) as caught:
        opened(connect)
    assert (caught.value.code, caught.value.return_code, caught.value.level) == (code, return_code, connect.level)


def test_mqtt_3_1_is_refused_with_its_own_return_code() -> None:
    raw = packets.packet(packets.CONNECT, 0, packets.binary(b"MQIsdp") + b"\x03\x02\x00\x3c" + packets.binary(b"c"))
    with pytest.raises(RefusedConnectError, match="protocol 'MQIsdp' level 3") as caught:
        read_opening(*_frame_of(raw), over_vpc_endpoint=True)
    assert caught.value.return_code == 1


# --- the request's context ------------------------------------------------------------------------------------------


def context(listener: int, client_id: str = "pi-1", **members: Any) -> dict[str, str]:
    found = table()
    connect = Connect(V5, client_id, clean=True, keep_alive=60, **members)
    peer = Peer("10.0.1.7", 40000, CERTIFICATE_ID, {})
    return connect_context(found, found.listeners[listener], peer, found.certificates[CERTIFICATE_ID], connect)


def test_the_endpoint_gives_its_keys_and_hides_the_source_address() -> None:
    found = context(0)
    assert (found["aws:SourceVpce"], found["aws:SourceVpc"], found["aws:VpcSourceIp"]) == (
        "vpce-1",
        "vpc-1",
        "10.0.1.7",
    )
    assert "aws:SourceIp" not in found


def test_the_internet_has_a_source_address_and_no_key_of_a_vpc() -> None:
    found = context(1)
    assert found["aws:SourceIp"] == "10.0.1.7"
    assert not [key for key in found if "Vpc" in key]


def test_thing_variables_resolve_only_for_the_name_of_an_attached_thing() -> None:
    found = context(0)
    assert found["iot:Connection.Thing.ThingName"] == "pi-1"
    assert found["iot:Connection.Thing.ThingTypeName"] == "pi"
    assert found["iot:Connection.Thing.Attributes[room]"] == "attic"
    assert found["iot:Connection.Thing.IsAttached"] == "true"
    stranger = context(0, "pi-2")
    assert stranger["iot:Connection.Thing.IsAttached"] == "false"
    assert "iot:Connection.Thing.ThingName" not in stranger


def test_a_certificate_gives_its_subject_and_issuer() -> None:
    names = ((("commonName", "a"),), (("organizationalUnitName", "u"),), (("organizationalUnitName", "v"),))
    found = certificate_fields({"subject": names, "issuer": ((("commonName", "root"),),), "serialNumber": "0A"})
    assert found["iot:Certificate.Subject.CommonName"] == "a"
    assert found["iot:Certificate.Subject.OrganizationalUnit"] == "u"
    assert found["iot:Certificate.Subject.OrganizationalUnit.1"] == "v"
    assert found["iot:Certificate.Issuer.CommonName"] == "root"
    assert found["iot:Certificate.SerialNumber"] == "0A"


# --- verdicts -------------------------------------------------------------------------------------------------------


def test_connect_attributes_tell_a_persistent_session_and_a_will() -> None:
    only = allow("iot:Connect", "*", **{"ForAnyValue:StringEquals": {"iot:ConnectAttributes": ["PersistentConnect"]}})
    clean = Connect(V311, "pi-1", clean=True, keep_alive=60)
    kept = Connect(V311, "pi-1", clean=False, keep_alive=60)
    expiring = Connect(V5, "pi-1", clean=True, keep_alive=60, properties=((0x11, 60),))
    assert authorization(table(only), clean).connect() is not ALLOWED
    assert authorization(table(only), kept).connect() is ALLOWED
    assert authorization(table(only), expiring).connect() is ALLOWED


def test_a_will_needs_publish_and_a_retained_one_retain_publish() -> None:
    connect, publish = allow("iot:Connect", "*"), allow("iot:Publish", f"{ARN}:topic/will")
    retain = allow("iot:RetainPublish", f"{ARN}:topic/will")
    plain = Connect(V5, "pi-1", clean=True, keep_alive=60, will=Will("will", b"", 1, retain=False))
    retained = Connect(V5, "pi-1", clean=True, keep_alive=60, will=Will("will", b"", 1, retain=True))
    assert authorization(table(connect), plain).connect().action == "iot:Publish"
    assert authorization(table(connect, publish), plain).connect() is ALLOWED
    assert authorization(table(connect, publish), retained).connect().action == "iot:RetainPublish"
    assert authorization(table(connect, publish, retain), retained).connect() is ALLOWED


@pytest.mark.parametrize("kind", ["publish", "retain", "receive"])
def test_a_message_outside_the_policy_is_denied_with_the_reason(kind: str) -> None:
    verdict = authorization(table(allow("iot:*", f"{ARN}:topic/mine"))).verdict(kind, b"other")
    assert verdict.code == 0x87
    assert verdict.reason.endswith(f"{ARN}:topic/other")


@pytest.mark.parametrize(
    ("kind", "topic", "verdict"),
    [
        ("publish", b"a/+", Verdict(0x90, "topic with a wildcard, U+0000 or ill-formed UTF-8", "iot:Publish")),
        ("publish", b"\xff", Verdict(0x90, "topic with a wildcard, U+0000 or ill-formed UTF-8", "iot:Publish")),
        ("publish", b"$SYS/a", Verdict(0x90, "reserved topic $SYS/a", "iot:Publish", fatal=True)),
        ("publish", b"$aws/events/x", Verdict(0x90, "reserved topic $aws/events/x", "iot:Publish", fatal=True)),
        ("retain", b"$aws/things/a/x", Verdict(0x90, "reserved topic $aws/things/a/x", "iot:Publish", fatal=True)),
        ("publish", b"$aws/things/pi-1/shadow/get", ALLOWED),
        ("publish", b"a", ALLOWED),
    ],
)
def test_a_topic_is_judged_by_its_form_before_the_policy(kind: str, topic: bytes, verdict: Verdict) -> None:
    assert authorization(table(allow("*", "*"))).verdict(kind, topic) == verdict


@pytest.mark.parametrize(
    ("topic_filter", "code"),
    [
        ("a/#", 0),
        ("$aws/things/+/shadow", 0),
        ("$share/g/a", 0),
        ("$SYS/#", 0x8F),
        ("a/b/c/d/e/f/g/h/i", 0x8F),
        ("", 0x8F),
    ],
)
def test_a_topic_filter_is_judged_by_its_form_before_the_policy(topic_filter: str, code: int) -> None:
    assert authorization(table(allow("*", "*"))).subscribe(topic_filter).code == code


def test_a_policy_that_looks_at_the_clock_is_asked_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    until = allow("iot:Publish", "*", DateLessThan={"aws:EpochTime": "1000"})
    found = authorization(table(until))
    monkeypatch.setattr("time.time", lambda: 999.0)
    assert found.verdict("publish", b"t") is ALLOWED
    monkeypatch.setattr("time.time", lambda: 1001.0)
    assert found.verdict("publish", b"t") is not ALLOWED


def test_the_verdicts_that_are_kept_are_bounded() -> None:
    found = authorization(table(allow("*", "*")))
    for number in range(5000):
        assert found.verdict("publish", str(number).encode()) is ALLOWED
    assert len(found._verdicts) <= 4096


@given(st.lists(st.binary(min_size=1, max_size=3), min_size=1, max_size=50))
def test_a_kept_verdict_is_the_verdict(topics: list[bytes]) -> None:
    found = authorization(table(allow("iot:Publish", f"{ARN}:topic/a*")))
    for topic in topics:
        fresh = authorization(table(allow("iot:Publish", f"{ARN}:topic/a*"))).verdict("publish", topic)
        assert found.verdict("publish", topic) == found.verdict("publish", topic) == fresh


# --- the table ------------------------------------------------------------------------------------------------------


def test_fingerprints_are_found_in_either_case() -> None:
    assert table().certificates[CERTIFICATE_ID].things == ("pi-1",)


@pytest.mark.parametrize(
    ("region", "arn"),
    [
        ("ap-northeast-1", "arn:aws:iot:ap-northeast-1:123456789012:topic/t"),
        ("cn-north-1", "arn:aws-cn:iot:cn-north-1:123456789012:topic/t"),
        ("us-gov-west-1", "arn:aws-us-gov:iot:us-gov-west-1:123456789012:topic/t"),
    ],
)
def test_an_arn_has_the_partition_of_its_region(region: str, arn: str) -> None:
    assert table(region=region).arn("topic/t") == arn


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"endpoint": None}, "table: endpoint is None; a JSON str is needed"),
        ({"server": {"certificateFile": "/c"}}, "server: privateKeyFile is missing; a JSON str is needed"),
        ({"listeners": [{"address": "no"}]}, "listeners[0]: address 'no' is no IP address"),
        (
            {"listeners": [{"address": "127.0.0.1"}] * 2},
            "listeners: address 127.0.0.1 twice; one listener owns an address",
        ),
        ({"certificates": {"aa": 1}}, "certificates.aa is 1; a JSON object is needed"),
        (
            {"certificates": {"aa": {"status": "ACTIVE", "policies": ["q"], "things": []}}},
            "certificates.aa: policy 'q' is not among the table's policies ['p']",
        ),
    ],
)
def test_a_table_that_cannot_be_used_is_told_what_is_wrong(members: dict[str, Any], message: str) -> None:
    with pytest.raises(TableError) as caught:
        parse({**TABLE, **members})
    assert str(caught.value) == message


def test_the_broker_listens_on_the_unix_socket_alone() -> None:
    lines = mosquitto_configuration("/run/broker.sock").splitlines()
    assert [line for line in lines if line.startswith("listener")] == ["listener 0 /run/broker.sock"]
    assert "max_inflight_messages 100" in lines
