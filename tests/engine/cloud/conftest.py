"""One cloud a module, and boto3 as a client that knows nothing of the lab."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from lab.cloud import server
from tests.engine.cloud.certificates import Pair, import_into, issue
from tests.warm.toolchain import warm_cloud

REGION = "ap-northeast-1"


@pytest.fixture(scope="module")
def cloud_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cloud")


@pytest.fixture(scope="module")
def cloud(cloud_directory: Path, python: Path) -> Iterator[server.CloudServer]:
    with warm_cloud(cloud_directory, python) as started:
        yield started


@pytest.fixture(scope="module")
def client(cloud: server.CloudServer) -> Iterator[Callable[..., Any]]:
    """Make boto3 clients, one a service and Region."""
    made: dict[tuple[str, str], Any] = {}
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test")

    def make(service: str, region: str = REGION) -> Any:
        if (service, region) not in made:
            made[service, region] = session.client(
                service,
                region_name=region,
                endpoint_url=cloud.url,
                config=Config(retries={"total_max_attempts": 1}, connect_timeout=60, read_timeout=60),
            )
        return made[service, region]

    yield make
    for one in made.values():
        one.close()


@pytest.fixture(scope="module")
def ec2(client: Callable[..., Any]) -> Any:
    return client("ec2")


@pytest.fixture(scope="module")
def acm(client: Callable[..., Any]) -> Any:
    return client("acm")


@pytest.fixture(scope="module")
def iot(client: Callable[..., Any]) -> Any:
    return client("iot")


@pytest.fixture(scope="module")
def route53(client: Callable[..., Any]) -> Any:
    return client("route53")


@dataclass(frozen=True)
class Network:
    """The walk-through's VPC with a subnet in each of two zones."""

    vpc_id: str
    subnet_a: str
    subnet_c: str


@pytest.fixture
def network(ec2: Any) -> Network:
    vpc_id = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    return Network(vpc_id, make_subnet(ec2, vpc_id, "10.0.1.0/24", "a"), make_subnet(ec2, vpc_id, "10.0.2.0/24", "c"))


def make_subnet(ec2: Any, vpc_id: str, cidr: str, zone: str) -> str:
    subnet_id: str = ec2.create_subnet(VpcId=vpc_id, CidrBlock=cidr, AvailabilityZone=REGION + zone)["Subnet"][
        "SubnetId"
    ]
    return subnet_id


def make_group(ec2: Any, vpc_id: str, name: str) -> str:
    group_id: str = ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc_id)["GroupId"]
    return group_id


@pytest.fixture(scope="module")
def authority() -> Pair:
    return issue("vpn-ca.example.com", is_authority=True)


@pytest.fixture(scope="module")
def server_arn(acm: Any, authority: Pair) -> str:
    pair = issue("server.vpn.example.com", authority, dns_names=("server.vpn.example.com",))
    return import_into(acm, pair, authority)


@pytest.fixture
def make_endpoint(ec2: Any, server_arn: str) -> Iterator[Callable[..., str]]:
    """Make Client VPN endpoints, of which a Region may have five, and remove them after the test."""
    made: list[str] = []

    def make(**parameters: Any) -> str:
        parameters.setdefault("ClientCidrBlock", "172.31.0.0/16")
        parameters.setdefault("ServerCertificateArn", server_arn)
        parameters.setdefault(
            "AuthenticationOptions",
            [
                {
                    "Type": "certificate-authentication",
                    "MutualAuthentication": {"ClientRootCertificateChainArn": server_arn},
                }
            ],
        )
        parameters.setdefault("ConnectionLogOptions", {"Enabled": False})
        endpoint_id: str = ec2.create_client_vpn_endpoint(**parameters)["ClientVpnEndpointId"]
        made.append(endpoint_id)
        return endpoint_id

    yield make
    for endpoint_id in made:
        remove_endpoint(ec2, endpoint_id)


def remove_endpoint(ec2: Any, endpoint_id: str) -> None:
    """Remove an endpoint with its associations, whatever the test left of it."""
    endpoints = ec2.describe_client_vpn_endpoints()["ClientVpnEndpoints"]
    found = [one for one in endpoints if one["ClientVpnEndpointId"] == endpoint_id]
    if not found or found[0]["Status"]["Code"] == "deleting":
        return
    networks = ec2.describe_client_vpn_target_networks(ClientVpnEndpointId=endpoint_id)["ClientVpnTargetNetworks"]
    for network in [one for one in networks if one["Status"]["Code"] != "disassociating"]:
        ec2.disassociate_client_vpn_target_network(
            ClientVpnEndpointId=endpoint_id, AssociationId=network["AssociationId"]
        )
    # Seen once, they are gone.
    ec2.describe_client_vpn_target_networks(ClientVpnEndpointId=endpoint_id)
    ec2.delete_client_vpn_endpoint(ClientVpnEndpointId=endpoint_id)
    ec2.describe_client_vpn_endpoints(ClientVpnEndpointIds=[endpoint_id])


@contextmanager
def refused(code: str, *words: str) -> Iterator[None]:
    """Expect an error with this code whose message has these words."""
    with pytest.raises(ClientError) as caught:
        yield
    error = caught.value.response["Error"]
    assert error["Code"] == code, error
    for word in words:
        assert word in error["Message"], error
