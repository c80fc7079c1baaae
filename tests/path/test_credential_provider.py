"""A device takes temporary credentials over the tunnel, with AWS's own SDK; every other way to them is refused.

The policy is the component's own document. Cannot prove that AWS gives credentials over an interface endpoint, nor what
the role behind the alias may do with them: the lab's cloud takes any key.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.path.conftest import HandMadeLab
from tests.path.path_lab import REGION
from tests.path.walk_through_by_hand import TOPIC_PREFIX, alias_change, policy_document

with warnings.catch_warnings():
    # A part of the AWS SDK warns about itself at its first import.
    warnings.simplefilter("ignore", DeprecationWarning)
    from private_iot.iot_policy import Rights, document

pytestmark = pytest.mark.path

ALIAS, FOREIGN = "uploads", "somebody-elses"
FILES = ["/etc/iot/certificate.pem.crt", "/etc/iot/private.pem.key"]
# As aws-iot-device-sdk-python-v2's samples do it.
SDK = """
import sys
from awscrt import auth, io
endpoint, certificate, key, thing, alias = sys.argv[1:]
options = io.TlsContextOptions.create_client_with_mtls_from_path(certificate, key)
provider = auth.AwsCredentialsProvider.new_x509(
    endpoint=endpoint, thing_name=thing, role_alias=alias, tls_ctx=io.ClientTlsContext(options))
credentials = provider.get_credentials().result(60)
print(credentials.access_key_id, bool(credentials.secret_access_key), bool(credentials.session_token))
"""
PLAIN = """
import http.client, ssl, sys
endpoint, certificate, key, thing, alias = sys.argv[1:]
context = ssl.create_default_context()
context.load_cert_chain(certificate, key)
connection = http.client.HTTPSConnection(endpoint, 443, timeout=60, context=context)
connection.request("GET", f"/role-aliases/{alias}/credentials", headers={"x-amzn-iot-thingname": thing})
answer = connection.getresponse()
print(answer.status, answer.read().decode())
"""


@dataclass
class Provider:
    """The credential provider as a device sees it."""

    lab: HandMadeLab
    endpoint: str
    addresses: list[str]

    def ask(self, *, alias: str = ALIAS, thing: str = "pi-1") -> tuple[int, dict[str, Any]]:
        asked = self.lab.run("pi-1", sys.executable, "-c", PLAIN, self.endpoint, *FILES, thing, alias)
        assert asked.returncode == 0, asked.stderr
        status, _, body = asked.stdout.partition(" ")
        return int(status), json.loads(body)


@pytest.fixture
def provider(path_lab: HandMadeLab) -> Iterator[Provider]:
    """Its interface endpoint, name, role aliases, and the component's policy for one of them."""
    lab, made = path_lab, path_lab.made
    ec2, dns, iot, iam = (lab.aws.client(name) for name in ("ec2", "route53", "iot", "iam"))
    account = lab.aws.client("sts").get_caller_identity()["Account"]
    name = iot.describe_endpoint(endpointType="iot:CredentialProvider")["endpointAddress"]
    vpc_endpoint = ec2.create_vpc_endpoint(
        VpcEndpointType="Interface",
        VpcId=made.vpc_id,
        ServiceName=f"com.amazonaws.{REGION}.iot.credentials",
        SubnetIds=[made.subnet_id],
        SecurityGroupIds=[made.endpoint_group_id],
        PrivateDnsEnabled=False,
    )["VpcEndpoint"]["VpcEndpointId"]
    while (found := ec2.describe_vpc_endpoints(VpcEndpointIds=[vpc_endpoint])["VpcEndpoints"][0])["State"] == "pending":
        pass
    zone = dns.create_hosted_zone(
        Name=name, CallerReference=name, VPC={"VPCRegion": REGION, "VPCId": made.vpc_id}, HostedZoneConfig={}
    )["HostedZone"]["Id"]
    regional = min(found["DnsEntries"], key=lambda entry: len(entry["DnsName"]))
    dns.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [alias_change(name, regional)]})
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "sts:AssumeRole",
                "Principal": {"Service": "credentials.iot.amazonaws.com"},
            }
        ],
    }
    role = iam.create_role(RoleName="uploads", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    for alias in (ALIAS, FOREIGN):
        iot.create_role_alias(roleAlias=alias, roleArn=role, credentialDurationSeconds=900)
    rights = Rights(topic_prefix=TOPIC_PREFIX, role_aliases=[ALIAS])
    text = document(
        rights,
        partition="aws",
        region=REGION,
        account_id=account,
        vpc_endpoint_id=made.vpc_endpoint_id,
        credentials_vpc_endpoint_id=vpc_endpoint,
    )
    iot.create_policy_version(policyName=made.policy_name, policyDocument=text, setAsDefault=True)
    lab.sync()
    interfaces = ec2.describe_network_interfaces(NetworkInterfaceIds=found["NetworkInterfaceIds"])["NetworkInterfaces"]
    yield Provider(lab, name, [each["PrivateIpAddress"] for each in interfaces])
    before = json.dumps(policy_document(lab.aws, account, made.vpc_endpoint_id))
    iot.create_policy_version(policyName=made.policy_name, policyDocument=before, setAsDefault=True)
    for version in iot.list_policy_versions(policyName=made.policy_name)["policyVersions"]:
        if not version["isDefaultVersion"]:
            iot.delete_policy_version(policyName=made.policy_name, policyVersionId=version["versionId"])
    for alias in (ALIAS, FOREIGN):
        iot.delete_role_alias(roleAlias=alias)
    iam.delete_role(RoleName="uploads")
    change = alias_change(name, regional, action="DELETE")
    dns.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={"Changes": [change]})
    dns.delete_hosted_zone(Id=zone)
    ec2.delete_vpc_endpoints(VpcEndpointIds=[vpc_endpoint])
    named = [{"Name": "vpc-endpoint-id", "Values": [vpc_endpoint]}]
    while ec2.describe_vpc_endpoints(Filters=named)["VpcEndpoints"]:
        pass
    lab.sync()


def test_a_device_gets_credentials_over_the_tunnel_and_on_no_other_way(provider: Provider) -> None:
    lab = provider.lab
    with lab.tunnel("pi-1", "--dhcp-option", "DOMAIN-ROUTE", provider.endpoint):
        assert lab.resolve("pi-1", provider.endpoint) == provider.addresses
        sdk = lab.run("pi-1", sys.executable, "-c", SDK, provider.endpoint, *FILES, "pi-1", ALIAS)
        assert sdk.returncode == 0, sdk.stderr
        key, secret, token = sdk.stdout.split()
        assert (key[:4], secret, token) == ("ASIA", "True", "True")
        status, body = provider.ask()
        assert (status, set(body["credentials"])) == (
            200,
            {"accessKeyId", "secretAccessKey", "sessionToken", "expiration"},
        )
        assert provider.ask(alias=FOREIGN) == (403, {"message": "Access Denied"})
        assert provider.ask(thing="pi-2") == (403, {"message": "Invalid thing name passed"})
        assert lab.pubsub("pi-1")["error"] is None
    assert lab.resolve("pi-1", provider.endpoint) == ["203.0.113.81"]
    assert provider.ask() == (403, {"message": "Access Denied"})
    sdk = lab.run("pi-1", sys.executable, "-c", SDK, provider.endpoint, *FILES, "pi-1", ALIAS)
    assert sdk.returncode != 0
