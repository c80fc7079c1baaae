"""What every resource type shares: handshake, configuration, secrets, unknowns, errors, half-made things, time.

The engine's side is a client in this process; the tests of the whole program run the real one.
"""

import importlib.metadata
import json
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi.runtime.rpc as sdk
import pytest
from google.protobuf import struct_pb2
from pulumi.runtime.proto import provider_pb2

from lab.providers import PROVIDERS, install
from lab.providers.aws.provider import AwsProvider
from lab.providers.errors import CancelledError, ProviderError
from lab.providers.tls.provider import TlsProvider
from lab.providers.values import UNKNOWN, Secret, decode, encode
from lab.providers.waiting import Call
from tests.engine.aws import REGION, Cloud
from tests.engine.providers.conftest import configuration
from tests.engine.providers.plugin import Made, Plugin, Refused, assert_settled

pytestmark = pytest.mark.engine

VPC = "aws:ec2/vpc:Vpc"
THING = "aws:iot/thing:Thing"
GROUP = "aws:ec2/securityGroup:SecurityGroup"
GROUP_OF_LOGS = "aws:cloudwatch/logGroup:LogGroup"


def test_the_handshake_takes_secrets_and_names_the_version(aws: Plugin, tls: Plugin) -> None:
    for plugin, name in ((aws, "aws"), (tls, "tls")):
        hello = plugin.handshake()
        if hello is not None:
            assert hello.accept_secrets
            assert hello.supports_autonaming_configuration
            assert not hello.accept_outputs
        assert plugin.version() == PROVIDERS[name]
        assert json.loads(plugin.schema()) == {"name": name, "version": PROVIDERS[name]}


def test_the_stand_ins_have_the_versions_of_the_sdks() -> None:
    assert {name: importlib.metadata.version(f"pulumi-{name}") for name in PROVIDERS} == PROVIDERS


def test_an_installed_plugin_tells_its_port_and_serves(tmp_path: Path) -> None:
    install(tmp_path)
    install(tmp_path)
    for name, version in PROVIDERS.items():
        path = tmp_path / "plugins" / f"resource-{name}-v{version}" / f"pulumi-resource-{name}"
        with subprocess.Popen([path], stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
            assert process.stdout is not None
            plugin = Plugin(int(process.stdout.readline()))
            assert plugin.version() == version
            plugin.close()
            process.terminate()


def test_values_have_the_sdks_own_markers_on_the_wire() -> None:
    message = encode({"secret": Secret("s"), "unknown": UNKNOWN, "plain": [1, True, "x", {"a": None}], "none": None})
    assert message["secret"][sdk._special_sig_key] == sdk._special_secret_sig
    assert message["unknown"] == sdk.UNKNOWN
    assert "none" not in message
    assert sdk.is_rpc_secret(sdk.deserialize_property(message["secret"]))
    back = decode(message)
    assert back["secret"] == Secret("s")
    assert back["unknown"] is UNKNOWN
    assert back["plain"] == [1, True, "x", {}]


def test_a_secret_never_shows_its_text() -> None:
    assert "hunter2" not in repr(Secret("hunter2"))


def test_configuration_that_the_provider_does_not_have_is_refused(aws: Plugin, tls: Plugin) -> None:
    assert list(aws.check_config({"region": REGION, "regoin": "x"})) == ["regoin"]
    assert list(tls.check_config({"region": REGION})) == ["region"]


def test_a_configuration_without_a_region_is_refused(aws: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION", raising=False)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    assert list(aws.check_config({})) == ["region"]
    monkeypatch.setenv("AWS_REGION", REGION)
    assert aws.check_config({}) == {}


def test_another_region_means_other_resources_and_another_key_does_not(aws: Plugin) -> None:
    assert aws.diff_config({"region": REGION}, {"region": "eu-west-1"}) == ["region"]
    assert aws.diff_config({"region": REGION, "accessKey": "a"}, {"region": REGION, "accessKey": "b"}) == []


def test_default_tags_are_on_every_resource_and_not_among_its_own(new_aws: Callable[..., Plugin], cloud: Cloud) -> None:
    aws = new_aws(defaultTags={"tags": {"Stage": "dev", "Name": "default"}}, ignoreTags={"keys": ["seen"]})
    news = {"cidrBlock": "10.60.0.0/16", "tags": {"Name": "own"}}
    made = aws.create(VPC, news)
    assert made.state["tags"] == {"Name": "own"}
    assert made.state["tagsAll"] == {"Name": "own", "Stage": "dev"}
    cloud.client("ec2").create_tags(Resources=[made.id], Tags=[{"Key": "seen", "Value": "1"}])
    assert_settled(aws, made, news)
    aws.delete(made)


def test_a_resource_can_name_a_region_of_its_own(aws: Plugin) -> None:
    news = {"name": "far", "region": "eu-west-1"}
    made = aws.create(THING, news)
    assert made.state["arn"] == "arn:aws:iot:eu-west-1:123456789012:thing/far"
    assert_settled(aws, made, news)
    aws.delete(made)


def test_missing_credentials_are_named(cloud: Cloud, new_aws: Callable[..., Plugin], tmp_path: Path) -> None:
    # A profile that is nowhere, so that whatever this machine has plays no part.
    with pytest.raises(Refused, match="nowhere"):
        new_aws(profile="nowhere").create(VPC, {"cidrBlock": "10.0.0.0/16"})


def test_a_type_or_function_that_is_not_served_is_named_with_those_that_are(aws: Plugin, tls: Plugin) -> None:
    with pytest.raises(Refused, match="aws:s3/bucket:Bucket: the stand-in provider does not serve"):
        aws.check("aws:s3/bucket:Bucket", {})
    with pytest.raises(Refused, match="tls:index/getPublicKey:getPublicKey: the stand-in provider does not serve"):
        tls.invoke("tls:index/getPublicKey:getPublicKey")


def test_a_secret_input_comes_back_as_a_secret_output(aws: Plugin) -> None:
    news = {"name": "hidden", "attributes": {"site": Secret("a")}}
    made = aws.create(THING, news)
    assert made.inputs["attributes"] == Secret({"site": "a"})
    assert made.state["attributes"] == Secret({"site": "a"})
    assert made.state["name"] == "hidden"
    seen = aws.refresh(made)
    assert seen is not None
    assert isinstance(seen.state["attributes"], Secret)
    aws.delete(made)


def test_the_outputs_that_the_sdks_call_secret_are() -> None:
    """Source: `additional_secret_outputs` in pulumi_aws and pulumi_tls."""
    aws, tls = AwsProvider().resources, TlsProvider().resources
    assert aws["aws:acm/certificate:Certificate"].secrets == {"privateKey"}
    assert aws["aws:iot/certificate:Certificate"].secrets == {"caPem", "certificatePem", "privateKey", "publicKey"}
    keys = {"privateKeyOpenssh", "privateKeyPem", "privateKeyPemPkcs8"}
    assert tls["tls:index/privateKey:PrivateKey"].secrets == keys
    assert tls["tls:index/selfSignedCert:SelfSignedCert"].secrets == {"privateKeyPem"}
    assert tls["tls:index/locallySignedCert:LocallySignedCert"].secrets == {"caPrivateKeyPem"}


def test_outputs_hold_the_id_and_inputs_hold_no_default_that_says_nothing(aws: Plugin, tls: Plugin) -> None:
    made = aws.create(GROUP_OF_LOGS, {"name": "plain"})
    assert made.state["id"] == made.id
    assert (made.state["skipDestroy"], made.state["retentionInDays"]) == (False, 0)
    assert made.inputs == {"name": "plain", "region": REGION, "tagsAll": {}, "__defaults": []}
    vpc = aws.create(VPC, {"cidrBlock": "10.65.0.0/16"})
    defaulted = {"enableDnsSupport": True, "instanceTenancy": "default"}
    assert defaulted.items() <= vpc.inputs.items(), "a default that is true or a text is an input"
    assert vpc.inputs["__defaults"] == sorted(defaulted)
    key = tls.create("tls:index/privateKey:PrivateKey", {"algorithm": "RSA"})
    assert key.inputs == {"algorithm": "RSA"}, "types of the plugin framework have none"
    assert key.state["id"] == key.id
    for one in (made, vpc):
        aws.delete(one)


def test_an_unknown_that_forces_a_new_resource_does(aws: Plugin) -> None:
    made = aws.create(THING, {"name": "known"})
    assert aws.plan(made, {"name": UNKNOWN}).detail == {"name": "UPDATE_REPLACE"}
    assert aws.plan(made, {"name": "known", "attributes": {"a": UNKNOWN}}).detail == {"attributes": "ADD"}
    assert not aws.plan(made, {"name": "other"}, ignore=("name",)).changes
    aws.delete(made)


def test_a_name_is_made_once_and_kept(aws: Plugin) -> None:
    first = aws.checked(THING, {}, name="device")
    assert first["name"].startswith("device-")
    assert len(first["name"]) == len("device-") + 7
    assert aws.checked(THING, {}, name="device")["name"] == first["name"], "a preview and its up agree"
    assert aws.check(THING, {}, name="device", seed=b"other")[0]["name"] != first["name"]
    assert aws.check(THING, {}, first, name="device", seed=b"other")[0]["name"] == first["name"]
    given = aws.checked(THING, {"name": "mine"})
    assert aws.checked(THING, {}, given)["name"] != "mine", "a name that the program took back is not kept"


def test_the_engines_naming_rules_hold(aws: Plugin) -> None:
    options = provider_pb2.CheckRequest.AutonamingOptions
    proposed, _ = aws.check(THING, {}, autonaming=options(proposed_name="verbatim", mode=options.ENFORCE))
    assert proposed["name"] == "verbatim"
    _, failures = aws.check(THING, {}, autonaming=options(mode=options.DISABLE))
    assert "automatic naming is disabled" in failures["name"]


def test_a_throttled_call_is_tried_again(aws: Plugin, cloud: Cloud) -> None:
    fault = {"service": "ec2", "operation": "CreateVpc", "code": "RequestLimitExceeded", "status": 503, "times": 2}
    cloud.forget_calls()
    cloud.faults(fault)
    made = aws.create(VPC, {"cidrBlock": "10.61.0.0/16"})
    assert [call["status"] for call in cloud.calls("CreateVpc")] == [503, 503, 200]
    aws.delete(made)


def test_a_refused_call_names_operation_id_and_code(aws: Plugin, cloud: Cloud) -> None:
    made = aws.create(VPC, {"cidrBlock": "10.62.0.0/16"})
    cloud.faults(
        {"service": "ec2", "operation": "DeleteVpc", "code": "UnauthorizedOperation", "status": 403, "times": 1}
    )
    with pytest.raises(Refused, match=rf"deleting EC2 VPC \({made.id}\): DeleteVpc: UnauthorizedOperation: "):
        aws.delete(made)
    aws.delete(made)


def test_what_fails_after_its_creation_is_not_lost(aws: Plugin, cloud: Cloud) -> None:
    cloud.faults(
        {
            "service": "ec2",
            "operation": "ModifyVpcAttribute",
            "code": "UnauthorizedOperation",
            "status": 403,
            "times": 1,
        }
    )
    news = {"cidrBlock": "10.63.0.0/16", "enableDnsHostnames": True}
    with pytest.raises(Refused) as refused:
        aws.create(VPC, news)
    left = refused.value.half_made
    assert left is not None
    assert "UnauthorizedOperation" in left.reasons[0]
    made = Made(VPC, left.id, decode(left.inputs), decode(left.properties))
    seen = aws.refresh(made)
    assert seen is not None
    assert aws.plan(seen, news).detail == {"enableDnsHostnames": "UPDATE"}
    mended = aws.update(seen, news)
    assert_settled(aws, mended, news)
    aws.delete(mended)


def test_a_half_made_certificates_key_stays_secret(aws: Plugin, cloud: Cloud) -> None:
    cloud.faults(
        {
            "service": "iot",
            "operation": "DescribeCertificate",
            "code": "UnauthorizedException",
            "status": 401,
            "times": 1,
        }
    )
    with pytest.raises(Refused) as refused:
        aws.create("aws:iot/certificate:Certificate", {"active": True})
    left = refused.value.half_made
    assert left is not None
    assert isinstance(decode(left.properties)["privateKey"], Secret)
    assert "PRIVATE KEY" not in refused.value.text


def test_a_wait_ends_with_its_time_and_says_for_what() -> None:
    call = Call(None, 0.1, threading.Event())
    started = time.monotonic()
    with pytest.raises(ProviderError, match=r"waiting for EC2 VPC \(vpc-1\) create: timed out after 0\.1 s"):
        call.wait_until("EC2 VPC (vpc-1) create", lambda: None)
    assert time.monotonic() - started < 60


def test_a_cancelled_engine_ends_every_wait() -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(CancelledError, match="cancelled"):
        Call(None, 600, cancelled).wait_until("nothing", lambda: None)


def test_cancel_reaches_a_running_operation(new_aws: Callable[..., Plugin]) -> None:
    aws = new_aws()
    vpc = aws.create(VPC, {"cidrBlock": "10.64.0.0/16"})
    subnet = aws.create("aws:ec2/subnet:Subnet", {"vpcId": vpc.id, "cidrBlock": "10.64.1.0/24"})
    failures: list[str] = []

    def delete() -> None:
        try:
            aws.delete(vpc, timeout=230)
        except Refused as error:
            failures.append(error.text)

    waiting = threading.Thread(target=delete)
    waiting.start()
    aws.cancel()
    waiting.join(timeout=120)
    assert not waiting.is_alive()
    assert len(failures) == 1
    other = new_aws()
    other.delete(subnet)
    other.delete(vpc)


def test_a_retry_gives_up_with_the_actions_own_error() -> None:
    def refuse() -> None:
        raise ProviderError("in use", code="DependencyViolation")

    with pytest.raises(ProviderError, match="in use"):
        Call(None, 0.1, threading.Event()).retry("it", refuse, while_error=lambda _: True)
    with pytest.raises(ProviderError, match="in use"):
        Call(None, 600, threading.Event()).retry("it", refuse, while_error=lambda _: False)


def test_many_operations_run_at_once(aws: Plugin) -> None:
    made: list[Made] = []
    threads = [
        threading.Thread(target=lambda n=n: made.append(aws.create(THING, {"name": f"crowd-{n}"}, name=f"crowd-{n}")))
        for n in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=240)
    assert len(made) == 12
    for one in made:
        aws.delete(one)


def test_the_configuration_is_json_where_it_is_no_text(cloud: Cloud, aws: Plugin) -> None:
    given = configuration(cloud, maxRetries=3)
    assert isinstance(given["endpoints"], str)
    message: struct_pb2.Struct = encode(given)
    assert message["maxRetries"] == "3"
    with pytest.raises(Refused, match="provider configuration `endpoints`: not JSON"):
        aws.configure({"region": REGION, "endpoints": "{"})


def test_data_sources_answer_as_the_cloud_does(aws: Plugin, cloud: Cloud) -> None:
    assert aws.invoke("aws:index/getRegion:getRegion")["region"] == REGION
    identity: dict[str, Any] = aws.invoke("aws:index/getCallerIdentity:getCallerIdentity")
    assert identity["accountId"] == "123456789012"
    zones = aws.invoke("aws:index/getAvailabilityZones:getAvailabilityZones", {"state": "available"})
    listed = cloud.client("ec2").describe_availability_zones()["AvailabilityZones"]
    assert zones["names"] == sorted(zone["ZoneName"] for zone in listed)
    assert len(zones["zoneIds"]) == len(zones["names"])
    fewer = aws.invoke("aws:index/getAvailabilityZones:getAvailabilityZones", {"excludeNames": [zones["names"][0]]})
    assert fewer["names"] == zones["names"][1:]
    name = f"com.amazonaws.{REGION}.iot.data"
    service = aws.invoke("aws:ec2/getVpcEndpointService:getVpcEndpointService", {"serviceName": name})
    assert service["serviceName"] == name
    assert f"{REGION}d" not in service["availabilityZones"]
    by_short_name = aws.invoke("aws:ec2/getVpcEndpointService:getVpcEndpointService", {"service": "iot.data"})
    assert by_short_name["availabilityZones"] == service["availabilityZones"]
    endpoint = aws.invoke("aws:iot/getEndpoint:getEndpoint", {"endpointType": "iot:Data-ATS"})
    address = cloud.client("iot").describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
    assert endpoint["endpointAddress"] == address


def test_a_data_source_refuses_what_it_does_not_know(aws: Plugin) -> None:
    assert list(aws.invoke_failures("aws:iot/getEndpoint:getEndpoint", {"endpointType": "iot:Nothing"})) == [
        "endpointType"
    ]
    with pytest.raises(Refused, match="reading EC2 VPC Endpoint Services: "):
        aws.invoke("aws:ec2/getVpcEndpointService:getVpcEndpointService", {"serviceName": "com.amazonaws.none"})
