"""Route 53, CloudWatch Logs and IoT through the provider protocol.

Cannot prove what AWS itself answers: nobody has run it there.
"""

import json
from typing import Any

import pytest

from lab.providers.values import Secret, reveal
from tests.engine.aws import Cloud
from tests.engine.providers.plugin import Made, Plugin, Refused, assert_settled

pytestmark = pytest.mark.engine

ZONE = "aws:route53/zone:Zone"
RECORD = "aws:route53/record:Record"
LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
POLICY = "aws:iot/policy:Policy"
THING = "aws:iot/thing:Thing"
CERTIFICATE = "aws:iot/certificate:Certificate"
POLICY_ATTACHMENT = "aws:iot/policyAttachment:PolicyAttachment"
THING_ATTACHMENT = "aws:iot/thingPrincipalAttachment:ThingPrincipalAttachment"
NAME = "abc-ats.iot.ap-northeast-1.amazonaws.com"


def document(action: str, resource: str = "*") -> str:
    return json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": [action], "Resource": resource}]}
    )


@pytest.fixture(scope="module")
def vpcs(aws: Plugin) -> list[Made]:
    return [aws.create("aws:ec2/vpc:Vpc", {"cidrBlock": f"10.{n}.0.0/16"}) for n in (1, 2)]


@pytest.fixture(scope="module")
def zone(aws: Plugin, vpcs: list[Made]) -> Made:
    return aws.create(ZONE, {"name": NAME, "vpcs": [{"vpcId": vpcs[0].id}]})


def test_a_private_zone_gains_and_loses_vpcs_in_place(aws: Plugin, cloud: Cloud, vpcs: list[Made]) -> None:
    news: dict[str, Any] = {"name": "private.test", "vpcs": [{"vpcId": vpcs[0].id}], "tags": {"Name": "zone"}}
    made = aws.create(ZONE, news)
    assert made.id == made.state["zoneId"]
    assert made.state["arn"] == f"arn:aws:route53:::hostedzone/{made.id}"
    assert made.state["comment"] == "Managed by Pulumi"
    assert_settled(aws, made, news)
    news = {**news, "vpcs": [{"vpcId": vpcs[1].id}], "comment": "moved", "tags": {}}
    plan = aws.plan(made, news)
    assert plan.replaces == []
    assert plan.detail["vpcs[0].vpcId"] == "UPDATE"
    made = aws.update(made, news)
    seen = cloud.client("route53").get_hosted_zone(Id=made.id)
    assert [vpc["VPCId"] for vpc in seen["VPCs"]] == [vpcs[1].id]
    assert seen["HostedZone"]["Config"] == {"Comment": "moved", "PrivateZone": True}
    assert_settled(aws, made, news)
    assert aws.plan(made, {**news, "name": "other.test"}).replaces == ["name"]
    assert not aws.plan(made, {**news, "name": "private.test."}).changes
    aws.delete(made)
    assert aws.refresh(made) is None
    aws.delete(made)


def test_a_zone_with_records_is_deleted_only_by_force(aws: Plugin, vpcs: list[Made]) -> None:
    news = {"name": "full.test", "vpcs": [{"vpcId": vpcs[0].id}], "forceDestroy": True}
    made = aws.create(ZONE, news)
    aws.create(RECORD, {"zoneId": made.id, "name": "a", "type": "A", "ttl": 60, "records": ["192.0.2.1"]})
    careful = aws.update(made, {**news, "forceDestroy": False})
    with pytest.raises(Refused, match=r"deleting Route53 Hosted Zone .*: DeleteHostedZone: HostedZoneNotEmpty"):
        aws.delete(careful)
    aws.delete(made)
    assert aws.refresh(made) is None


def test_an_apex_alias_is_made_found_and_mended(aws: Plugin, cloud: Cloud, zone: Made) -> None:
    target = {"name": "vpce-1.example.com", "zoneId": "Z123", "evaluateTargetHealth": False}
    news: dict[str, Any] = {"zoneId": zone.id, "name": NAME, "type": "A", "aliases": [target]}
    made = aws.create(RECORD, news)
    assert made.id == f"{zone.id}_{NAME}_A"
    assert made.state["fqdn"] == NAME
    assert_settled(aws, made, news)
    imported = aws.import_(RECORD, made.id)
    assert imported is not None
    assert not aws.plan(imported, news).changes
    same = {**news, "aliases": [{**target, "name": "VPCE-1.example.com."}]}
    assert not aws.plan(made, same).changes
    moved = {**news, "aliases": [{**target, "name": "vpce-2.example.com"}]}
    assert aws.plan(made, moved).detail == {"aliases[0].name": "UPDATE"}
    made = aws.update(made, moved)
    assert made.state["aliases"][0]["name"] == "vpce-2.example.com"
    for change in ({"name": f"www.{NAME}"}, {"zoneId": "Z9"}):
        assert aws.plan(made, {**moved, **change}).replaces == list(change)
    cloud.client("route53").change_resource_record_sets(
        HostedZoneId=zone.id,
        ChangeBatch={"Changes": [{"Action": "DELETE", "ResourceRecordSet": record_of(cloud, zone.id)}]},
    )
    assert aws.refresh(made) is None, "it was deleted by hand"
    aws.delete(made)


def record_of(cloud: Cloud, zone: str) -> dict[str, Any]:
    records = cloud.client("route53").list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
    return next(dict(record) for record in records if record["Type"] == "A")


def test_plain_records_are_relative_to_their_zone_and_change_in_place(aws: Plugin, zone: Made) -> None:
    news: dict[str, Any] = {"zoneId": zone.id, "name": "Note", "type": "TXT", "ttl": 60, "records": ["hello"]}
    made = aws.create(RECORD, news)
    assert made.state["fqdn"] == f"note.{NAME}"
    assert_settled(aws, made, news)
    longer = {**news, "ttl": 300, "records": ["hello", "again"]}
    assert aws.plan(made, longer).replaces == []
    made = aws.update(made, longer)
    assert (made.state["ttl"], sorted(made.state["records"])) == (300, ["again", "hello"])
    aws.delete(made)
    assert aws.refresh(made) is None
    aws.delete(made)


def test_a_record_that_is_there_already_is_not_overwritten_unless_asked(aws: Plugin, zone: Made) -> None:
    news = {"zoneId": zone.id, "name": "twice", "type": "A", "ttl": 60, "records": ["192.0.2.1"]}
    made = aws.create(RECORD, news)
    with pytest.raises(Refused, match=r"creating Route53 Record .*: ChangeResourceRecordSets: InvalidChangeBatch"):
        aws.create(RECORD, news)
    aws.create(RECORD, {**news, "allowOverwrite": True})
    aws.delete(made)


@pytest.mark.parametrize(
    ("given", "property_"),
    [
        ({"type": "ZZ", "ttl": 1, "records": ["x"]}, "type"),
        ({"type": "A"}, "aliases"),
        ({"type": "A", "ttl": 1, "aliases": [{"name": "a", "zoneId": "Z", "evaluateTargetHealth": True}]}, "aliases"),
        ({"type": "A", "aliases": [{"name": "a", "zoneId": "Z"}]}, "aliases[0].evaluateTargetHealth"),
        (
            {"type": "A", "ttl": 1, "records": ["x"], "weightedRoutingPolicies": [{"weight": 1}]},
            "weightedRoutingPolicies",
        ),
    ],
)
def test_a_bad_record_is_refused(aws: Plugin, given: dict[str, Any], property_: str) -> None:
    _, failures = aws.check(RECORD, {"zoneId": "Z1", "name": "a", **given})
    assert property_ in failures


def test_a_log_group_changes_its_retention_in_place(aws: Plugin, cloud: Cloud) -> None:
    news: dict[str, Any] = {"name": "vpn", "retentionInDays": 90, "tags": {"Name": "log"}}
    made = aws.create(LOG_GROUP, news)
    assert made.id == "vpn"
    assert made.state["arn"].endswith(":log-group:vpn")
    assert_settled(aws, made, news)
    shorter = {"name": "vpn", "retentionInDays": 30, "tags": {"Name": "other"}}
    assert aws.plan(made, shorter).replaces == []
    made = aws.update(made, shorter)
    [seen] = cloud.client("logs").describe_log_groups(logGroupNamePrefix="vpn")["logGroups"]
    assert seen["retentionInDays"] == 30
    assert_settled(aws, made, shorter)
    plan = aws.plan(made, {**shorter, "name": "else"})
    assert plan.replaces == ["name"]
    forever = aws.update(made, {"name": "vpn"})
    assert forever.state["retentionInDays"] == 0
    aws.delete(forever)
    assert aws.refresh(forever) is None
    aws.delete(forever)


def test_a_log_group_can_be_left_behind(aws: Plugin, cloud: Cloud) -> None:
    made = aws.create(LOG_GROUP, {"name": "kept", "skipDestroy": True})
    aws.delete(made)
    assert cloud.client("logs").describe_log_groups(logGroupNamePrefix="kept")["logGroups"]


@pytest.mark.parametrize(
    ("given", "property_"), [({"retentionInDays": 2}, "retentionInDays"), ({"name": "a b"}, "name")]
)
def test_a_bad_log_group_is_refused(aws: Plugin, given: dict[str, Any], property_: str) -> None:
    _, failures = aws.check(LOG_GROUP, given)
    assert list(failures) == [property_]


def test_a_policys_change_is_a_new_version_and_the_oldest_goes_at_five(aws: Plugin, cloud: Cloud) -> None:
    made = aws.create(POLICY, {"name": "rolling", "policy": document("iot:Connect")})
    assert made.state["defaultVersionId"] == "1"
    for turn in range(2, 8):
        news = {
            "name": "rolling",
            "policy": document("iot:Connect", f"arn:aws:iot:ap-northeast-1:123456789012:client/pi-{turn}"),
        }
        assert aws.plan(made, news).detail == {"policy": "UPDATE"}
        made = aws.update(made, news)
        assert made.state["defaultVersionId"] == str(turn)
    versions = cloud.client("iot").list_policy_versions(policyName="rolling")["policyVersions"]
    assert sorted(version["versionId"] for version in versions) == ["3", "4", "5", "6", "7"]
    document_seen = cloud.client("iot").get_policy(policyName="rolling")["policyDocument"]
    assert (
        document_seen
        == made.state["policy"]
        == json.dumps(json.loads(news["policy"]), sort_keys=True, separators=(",", ":"))
    )
    assert made.inputs["policy"] == news["policy"], "the inputs keep the program's text"
    assert_settled(aws, made, news)
    aws.delete(made)
    assert aws.refresh(made) is None
    aws.delete(made)


def test_a_policys_tags_change_in_place(aws: Plugin, cloud: Cloud) -> None:
    news: dict[str, Any] = {"name": "tagged", "policy": document("iot:Connect"), "tags": {"Name": "a", "old": "1"}}
    made = aws.create(POLICY, news)
    assert_settled(aws, made, news)
    other = {**news, "tags": {"Name": "b"}}
    made = aws.update(made, other)
    assert made.state["defaultVersionId"] == "1", "tags make no new version"
    seen = cloud.client("iot").list_tags_for_resource(resourceArn=made.state["arn"])["tags"]
    assert seen == [{"Key": "Name", "Value": "b"}]
    assert_settled(aws, made, other)
    aws.delete(made)


def test_a_policy_that_means_the_same_is_no_difference(aws: Plugin) -> None:
    made = aws.create(POLICY, {"name": "same", "policy": document("iot:Connect")})
    spaced = json.dumps(json.loads(document("iot:Connect")), indent=2)
    assert not aws.plan(made, {"name": "same", "policy": spaced}).changes
    scalar = document("iot:Connect").replace('["iot:Connect"]', '"iot:Connect"')
    assert not aws.plan(made, {"name": "same", "policy": scalar}).changes
    assert aws.plan(made, {"name": "same", "policy": document("iot:Publish")}).detail == {"policy": "UPDATE"}
    assert aws.plan(made, {"name": "other", "policy": scalar}).replaces == ["name"]
    _, failures = aws.check(POLICY, {"name": "same", "policy": "{"})
    assert "invalid JSON" in failures["policy"]
    aws.delete(made)


def test_a_thing_changes_its_attributes_in_place(aws: Plugin, cloud: Cloud) -> None:
    made = aws.create(THING, {"name": "pi-1", "attributes": {"site": "a", "old": "1"}})
    assert (made.id, made.state["arn"]) == ("pi-1", "arn:aws:iot:ap-northeast-1:123456789012:thing/pi-1")
    news = {"name": "pi-1", "attributes": {"site": "b"}}
    assert aws.plan(made, news).detail == {"attributes.old": "DELETE", "attributes.site": "UPDATE"}
    made = aws.update(made, news)
    assert cloud.client("iot").describe_thing(thingName="pi-1")["attributes"] == {"site": "b"}
    assert_settled(aws, made, news)
    assert aws.plan(made, {**news, "name": "pi-2"}).replaces == ["name"]
    assert aws.import_(THING, "pi-1") is not None
    aws.delete(made)
    assert aws.refresh(made) is None
    aws.delete(made)


def test_a_device_is_wired_up_and_taken_down(aws: Plugin, tls: Plugin, cloud: Cloud) -> None:
    key = tls.create("tls:index/privateKey:PrivateKey", {"algorithm": "RSA"})
    request = tls.create(
        "tls:index/certRequest:CertRequest",
        {"privateKeyPem": key.state["privateKeyPem"], "subject": {"commonName": "pi-2"}},
    )
    csr = request.state["certRequestPem"]
    certificate_news = {"active": True, "csr": csr}
    certificate = aws.create(CERTIFICATE, certificate_news)
    assert "privateKey" not in certificate.state, "the key stays where it was made"
    assert isinstance(certificate.state["certificatePem"], Secret)
    assert_settled(aws, certificate, certificate_news)
    thing = aws.create(THING, {"name": "pi-2"})
    policy = aws.create(POLICY, {"policy": document("iot:Connect")}, name="device")
    arn = certificate.state["arn"]
    links = [
        aws.create(POLICY_ATTACHMENT, {"policy": policy.id, "target": arn}),
        aws.create(THING_ATTACHMENT, {"thing": thing.id, "principal": arn}),
    ]
    assert [link.id for link in links] == [f"{policy.id}|{arn}", f"pi-2|{arn}"]
    for link in links:
        assert_settled(aws, link, {name: value for name, value in link.inputs.items() if not name.startswith("__")})
        assert aws.import_(link.type, link.id) is not None
        assert aws.plan(
            link, {**link.inputs, **dict.fromkeys(("policy", "thing") & link.inputs.keys(), "other")}
        ).replaces
    cloud.client("iot").detach_policy(policyName=policy.id, target=arn)
    assert aws.refresh(links[0]) is None, "it was detached by hand"
    for link in reversed(links):
        aws.delete(link)
        assert aws.refresh(link) is None
        aws.delete(link)
    inactive = aws.update(certificate, {**certificate_news, "active": False})
    found = cloud.client("iot").describe_certificate(certificateId=certificate.id)["certificateDescription"]
    assert found["status"] == "INACTIVE"
    assert aws.plan(inactive, {"active": False, "csr": f"{csr}\n"}).replaces == ["csr"]
    for made in (certificate, thing, policy):
        aws.delete(made)
        assert aws.refresh(made) is None
        aws.delete(made)


def test_a_certificate_without_a_request_keeps_its_key_as_a_secret(aws: Plugin) -> None:
    made = aws.create(CERTIFICATE, {"active": True})
    assert isinstance(made.state["privateKey"], Secret)
    assert "PRIVATE KEY" in reveal(made.state["privateKey"])
    assert_settled(aws, made, {"active": True})
    aws.delete(made)


def test_a_certificate_of_ones_own_is_registered(aws: Plugin, tls: Plugin) -> None:
    key = tls.create("tls:index/privateKey:PrivateKey", {"algorithm": "RSA"})
    own = tls.create(
        "tls:index/selfSignedCert:SelfSignedCert",
        {
            "privateKeyPem": key.state["privateKeyPem"],
            "subject": {"commonName": "own"},
            "validityPeriodHours": 1,
            "allowedUses": ["client_auth"],
        },
    )
    news = {"active": True, "certificatePem": Secret(own.state["certPem"])}
    made = aws.create(CERTIFICATE, news)
    assert reveal(made.state["certificatePem"]) == own.state["certPem"]
    aws.delete(made)
