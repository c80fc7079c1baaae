"""The server's process, the journal, faults and the lab's own HTTP.

Cannot prove: that AWS answers a throttled call in exactly this form.
"""

import json
import os
import stat
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from cryptography import x509

from lab.cloud import server
from tests.engine.cloud.certificates import Pair, import_into, issue
from tests.engine.cloud.conftest import REGION, refused

pytestmark = pytest.mark.engine


def call(url: str, method: str = "GET", body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, method=method), timeout=60) as response:  # noqa: S310 - loopback
        return json.load(response)


def failed_call(url: str, method: str = "GET", body: Any = None) -> tuple[int, str]:
    with pytest.raises(urllib.error.HTTPError) as caught:
        call(url, method, body)
    with caught.value as error:
        return error.code, json.load(error)["error"]


def test_the_server_outlives_its_starter_and_ends_by_stop(tmp_path: Path) -> None:
    started = server.start(tmp_path)
    try:
        assert server.running(tmp_path) == started
        assert server.start(tmp_path) == started
        assert json.loads((tmp_path / "server.json").read_text()) == {"url": started.url, "pid": started.pid}
        assert started.url.startswith("http://127.0.0.1:")
    finally:
        assert server.stop(tmp_path)
    assert server.running(tmp_path) is None
    assert not server.stop(tmp_path)
    assert not (tmp_path / "server.json").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(started.pid, 0)


def test_starters_at_the_same_time_get_one_server(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        started = list(pool.map(server.start, [tmp_path] * 4))
    server.stop(tmp_path)
    assert len(set(started)) == 1


def test_the_root_certificate_is_made_once_and_its_key_is_private(tmp_path: Path) -> None:
    server.start(tmp_path)
    server.stop(tmp_path)
    key, certificate = tmp_path / "authority" / "root-ca.key", tmp_path / "authority" / "root-ca.pem"
    first = certificate.read_bytes()
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert x509.load_pem_x509_certificate(first).extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    server.start(tmp_path)
    server.stop(tmp_path)
    assert certificate.read_bytes() == first


def test_a_state_file_of_a_process_that_is_gone_is_not_a_running_server(tmp_path: Path) -> None:
    (tmp_path / "server.json").write_text('{"url": "http://127.0.0.1:1", "pid": 1}')
    assert server.running(tmp_path) is None


def test_a_port_in_use_is_an_error_with_the_log(cloud: server.CloudServer, tmp_path: Path) -> None:
    with pytest.raises(server.CloudServerError, match="in use"):
        server.start(tmp_path, port=int(cloud.url.rpartition(":")[2]))


def test_the_account_is_the_labs(client: Callable[..., Any]) -> None:
    assert client("sts").get_caller_identity()["Account"] == "123456789012"


def test_calls_are_listed_in_order_with_service_operation_and_status(
    cloud: server.CloudServer, client: Callable[..., Any]
) -> None:
    call(f"{cloud.url}/_lab/calls", "DELETE")
    client("ec2").describe_vpcs()
    client("iot").describe_endpoint(endpointType="iot:Data-ATS")
    client("route53").list_hosted_zones()
    client("acm").list_certificates()
    client("logs").describe_log_groups()
    client("sts").get_caller_identity()
    with refused("InvalidVpcID.NotFound"):
        client("ec2").describe_vpcs(VpcIds=["vpc-0123456789abcdef0"])
    assert call(f"{cloud.url}/_lab/calls") == [
        {"service": "ec2", "operation": "DescribeVpcs", "status": 200},
        {"service": "iot", "operation": "DescribeEndpoint", "status": 200},
        {"service": "route53", "operation": "ListHostedZones", "status": 200},
        {"service": "acm", "operation": "ListCertificates", "status": 200},
        {"service": "logs", "operation": "DescribeLogGroups", "status": 200},
        {"service": "sts", "operation": "GetCallerIdentity", "status": 200},
        {"service": "ec2", "operation": "DescribeVpcs", "status": 400},
    ]
    call(f"{cloud.url}/_lab/calls", "DELETE")
    assert call(f"{cloud.url}/_lab/calls") == []


@pytest.mark.parametrize(
    ("service", "operation", "method", "parameters"),
    [
        ("ec2", "DescribeVpcs", "describe_vpcs", {}),
        ("iot", "DescribeEndpoint", "describe_endpoint", {"endpointType": "iot:Data-ATS"}),
        ("route53", "ListHostedZones", "list_hosted_zones", {}),
        ("acm", "ListCertificates", "list_certificates", {}),
        ("sts", "GetCallerIdentity", "get_caller_identity", {}),
    ],
)
def test_a_fault_fails_the_calls_it_is_told_to_and_no_other(  # noqa: PLR0917 - fixtures and cases
    cloud: server.CloudServer, client: Callable[..., Any], service: str, operation: str, method: str, parameters: Any
) -> None:
    fault = {"service": service, "operation": operation, "code": "AccessDenied", "status": 403, "times": 2, "skip": 1}
    assert call(f"{cloud.url}/_lab/faults", "PUT", [fault]) == {"faults": 1}
    function = getattr(client(service), method)
    function(**parameters)
    for _ in range(2):
        with refused("AccessDenied", "told to fail"):
            function(**parameters)
    function(**parameters)


def test_a_throttled_call_is_retried_by_the_sdk_and_changes_nothing(cloud: server.CloudServer) -> None:
    fault = {"service": "ec2", "operation": "CreateVpc", "code": "RequestLimitExceeded", "status": 503, "times": 1}
    call(f"{cloud.url}/_lab/faults", "PUT", [fault])
    patient = boto3.client(
        "ec2",
        region_name=REGION,
        endpoint_url=cloud.url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 3, "mode": "standard"}),
    )
    try:
        before = len(patient.describe_vpcs()["Vpcs"])
        answer = patient.create_vpc(CidrBlock="10.0.0.0/16")
        assert answer["ResponseMetadata"]["RetryAttempts"] == 1
        assert len(patient.describe_vpcs()["Vpcs"]) == before + 1
    finally:
        patient.close()


def test_an_empty_list_clears_the_faults(cloud: server.CloudServer, ec2: Any) -> None:
    call(f"{cloud.url}/_lab/faults", "PUT", [{"service": "ec2", "operation": "DescribeVpcs", "code": "Unavailable"}])
    call(f"{cloud.url}/_lab/faults", "PUT", [])
    ec2.describe_vpcs()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "a list of faults"),
        ([{"service": "ec2"}], "needs operation, code"),
        ([{"service": "ec2", "operation": "X", "code": "Y", "when": 1}], "unknown field 'when'"),
        ([{"service": "ec2", "operation": "X", "code": "Y", "times": "2"}], "times takes int; got '2'"),
        (["ec2"], "a fault is an object"),
    ],
)
def test_a_fault_that_cannot_be_read_is_refused_by_field(cloud: server.CloudServer, body: Any, message: str) -> None:
    status, error = failed_call(f"{cloud.url}/_lab/faults", "PUT", body)
    assert status == 400
    assert message in error


def test_calls_at_the_same_time_do_not_get_in_each_others_way(ec2: Any) -> None:
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet_id = ec2.create_subnet(VpcId=vpc_id, CidrBlock="10.0.1.0/24")["Subnet"]["SubnetId"]

    def create(_: int) -> str:
        address: str = ec2.create_network_interface(SubnetId=subnet_id)["NetworkInterface"]["PrivateIpAddress"]
        return address

    with ThreadPoolExecutor(16) as pool:
        addresses = list(pool.map(create, range(64)))
    assert len(set(addresses)) == 64


def test_an_answer_is_held_back_until_something_is_published(cloud: server.CloudServer, client: Any) -> None:
    data = client("iot-data")
    publications = f"{cloud.url}/_lab/iot-data/publications?region={REGION}"
    data.publish(topic="before", qos=1, retain=True, payload=b"")
    last = call(f"{publications}&after=0&wait=60")["last"]
    assert call(f"{publications}&after={last}&wait=0.05") == {"last": last, "publications": []}
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(call, f"{publications}&after={last}&wait=60")
        data.publish(topic="now", qos=1, payload=b"x")
        assert [one["topic"] for one in held.result(50)["publications"]] == ["now"]
    # Of a cloud that has started anew since.
    assert call(f"{publications}&after={last + 100}&wait=60")["last"] == last + 1


@pytest.mark.parametrize("wait", ["61", "-1", "long", "nan"])
def test_an_answer_is_held_back_for_a_minute_at_most(cloud: server.CloudServer, wait: str) -> None:
    for path in ("iot-data/publications?after=0", "ec2/client-vpn-terminations?"):
        assert failed_call(f"{cloud.url}/_lab/{path}&region={REGION}&wait={wait}") == (
            400,
            f"wait is 0 to 60 seconds; got '{wait}'",
        )
    assert failed_call(f"{cloud.url}/_lab/ec2/client-vpn-terminations?wait={wait}")[0] == 400


def test_a_server_that_holds_an_answer_back_ends_when_it_is_stopped(tmp_path: Path) -> None:
    url = server.start(tmp_path).url
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(call, f"{url}/_lab/ec2/client-vpn-terminations?region={REGION}&wait=60")
        assert server.stop(tmp_path)
        assert isinstance(held.exception(50), OSError)


def test_an_operation_that_the_lab_lacks_says_so(ec2: Any) -> None:
    with refused("NotImplemented", "create_verified_access_instance"):
        ec2.create_verified_access_instance()


def test_the_private_key_of_an_imported_certificate_is_to_be_had(
    cloud: server.CloudServer, acm: Any, authority: Pair
) -> None:
    pair = issue("server.vpn.example.com", authority)
    arn = import_into(acm, pair, authority)
    assert call(f"{cloud.url}/_lab/acm/private-key?arn={arn}") == {"privateKeyPem": pair.key_pem.decode()}
    status, error = failed_call(f"{cloud.url}/_lab/acm/private-key?arn={arn}0")
    assert (status, arn in error) == (404, True)
    assert failed_call(f"{cloud.url}/_lab/acm/private-key?arn=x")[0] == 400
    unknown_region = f"{cloud.url}/_lab/acm/private-key?arn=arn:aws:acm:xx-none-1:123456789012:certificate/1"
    assert failed_call(unknown_region)[0] == 404


def test_unknown_paths_and_methods_of_the_lab_say_what_there_is(cloud: server.CloudServer) -> None:
    assert failed_call(f"{cloud.url}/_lab/nothing") == (404, failed_call(f"{cloud.url}/_lab/nothing")[1])
    assert "/_lab/faults" in failed_call(f"{cloud.url}/_lab/nothing")[1]
    status, error = failed_call(f"{cloud.url}/_lab/faults")
    assert (status, error) == (405, "/_lab/faults takes PUT")


def test_the_log_names_no_key(cloud: server.CloudServer, acm: Any, authority: Pair, tmp_path: Path) -> None:
    directory = tmp_path / "cloud"
    own = server.start(directory)
    try:
        pair = issue("server.vpn.example.com", authority)
        logged = boto3.client(
            "acm", region_name=REGION, endpoint_url=own.url, aws_access_key_id="test", aws_secret_access_key="test"
        )
        arn = import_into(logged, pair, authority)
        logged.close()
        call(f"{own.url}/_lab/acm/private-key?arn={arn}")
    finally:
        server.stop(directory)
    log = (directory / "server.log").read_text()
    assert "POST" in log
    assert "PRIVATE KEY" not in log
    assert pair.key_pem.decode().splitlines()[1] not in log
