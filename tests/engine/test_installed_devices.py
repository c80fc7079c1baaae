"""What each setting does to installed devices: their bundles before and after, and whether the old ones still fit.

Cannot prove that a device connects with its bundle, only that the bundle agrees with what the cloud has.
"""

import re
import warnings
from typing import Any

import pytest
from cryptography import x509

from tests.engine.aws import Cloud
from tests.engine.conftest import StackFactory
from tests.engine.stack import Stack

with warnings.catch_warnings():
    # A part of the AWS SDK warns about itself at its first import.
    warnings.simplefilter("ignore", DeprecationWarning)
    from private_iot.arguments import InstalledDevices

    import settings as program

pytestmark = pytest.mark.engine

CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
REFUSED = {
    *("vpcCidrBlock", "vpcId", "subnetIds"),
    *("certificateAuthority", "serverCertificateArn", "clientRootCertificateArn", "certificateAuthorityPem"),
}
"""What a living stack cannot change; that it is refused is tested with the zones and with the certificates."""
TOGETHER: list[dict[str, Any]] = [
    {
        "availabilityZones": ["ap-northeast-1a", "ap-northeast-1c"],
        "availabilityZoneCount": 2,
        "subnetCidrBlocks": ["10.0.1.0/24", "10.0.7.0/24"],
        "tags": ["owner=plant"],
        "publishTopics": ["alarms"],
        "subscribeTopics": ["weather"],
        "shadowTopics": True,
        "jobsTopics": True,
        "roleAliases": ["uploads"],
        "authorizedCidrBlocks": ["10.200.0.0/16"],
        "flowLog": True,
        "dnsFirewall": True,
        "sessionTimeoutHours": 8,
        "disconnectOnSessionTimeout": True,
        "logRetentionDays": 30,
        "loginBanner": "Devices only",
        "caValidityDays": 4000,
        "revoked": ["AB" * 16],
        "revokeRemovedDevices": True,
        "revocationListRegion": "ap-northeast-1",
        "alarmTopicArn": "arn:aws:sns:ap-northeast-1:123456789012:operators",
    },
    {
        "importRevocationList": False,
        "waitForDetachment": False,
        "revokeRemovedDevices": False,
        "revocationListProfile": "operators",
        "connectionLog": False,
        "allowAllIotActions": True,
        "publishTopics": [],
        "subscribeTopics": [],
        "shadowTopics": False,
        "jobsTopics": False,
    },
    {
        "fleetTemplateName": "plant",
        "fleetThingNamePattern": "unit-{SerialNumber}",
        "fleetSerialNumbers": ["10000000abcdef01"],
        "fleetExistingThing": "DO_NOTHING",
        "fleetDeleteOldVersions": False,
        "fleetPreProvisioningHookArn": "arn:aws:lambda:ap-northeast-1:123456789012:function:hook",
    },
]
"""Of these, no device notices anything."""
ONE_BY_ONE: dict[str, Any] = {
    "credentialsEndpoint": True,
    "dnsServers": ["10.0.1.53", "10.0.0.2"],
    "topicPrefix": "plant",
    "vpnPort": 1194,
    "mssfix": 1300,
    "splitTunnel": False,
    "serverName": "vpn.plant.example",
    "certificateValidityDays": 400,
    "clientCidrBlock": "172.30.0.0/16",
    "transportProtocol": "tcp",
    "rootCaPem": "-----BEGIN CERTIFICATE-----\n",
}
EFFECTS = {
    program.key_of(name): setting.installed_devices
    for settings in program.COMPONENTS.values()
    for name, setting in settings.items()
}


@pytest.fixture(scope="module")
def stack(new_stack: StackFactory, cloud: Cloud) -> Stack:
    stack = new_stack(
        cloud, config={"private-iot:devices": ["pi-1"], "private-iot:availabilityZones": ["ap-northeast-1a"]}
    )
    stack.up()
    return stack


def bundle_of(stack: Stack) -> dict[str, Any]:
    bundle: dict[str, Any] = stack.outputs(show_secrets=True)["devices"]["pi-1"]
    return bundle


def fits(bundle: dict[str, Any], cloud: Cloud) -> bool:
    """Whether an installed bundle agrees with the endpoint, its certificates and the policy."""
    ec2, iot = cloud.client("ec2"), cloud.client("iot")
    live = [
        each
        for each in ec2.describe_client_vpn_endpoints()["ClientVpnEndpoints"]
        if each["Status"]["Code"] not in {"deleting", "deleted"}
    ]
    assert len(live) == 1
    [vpn], profile = live, bundle["vpn"]["config"]
    certificate = cloud.client("acm").get_certificate(CertificateArn=vpn["ServerCertificateArn"])
    server = x509.load_pem_x509_certificate(certificate["Certificate"].encode())
    authority, device = map(x509.load_pem_x509_certificate, (found.encode() for found in CERTIFICATE.findall(profile)))
    chain = x509.load_pem_x509_certificate(certificate["CertificateChain"].encode())
    for issued, issuer in ((server, authority), (device, chain)):
        try:
            issued.verify_directly_issued_by(issuer)
        except Exception:  # noqa: BLE001 # whatever is wrong with it, the two ends do not accept each other
            return False
    [name] = server.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    [policy] = iot.list_policies()["policies"]
    document = iot.get_policy(policyName=policy["policyName"])["policyDocument"]
    topic = bundle["topicPrefix"].removesuffix("/pi-1") + "/${iot:Connection.Thing.ThingName}/*"
    return all(
        (
            f"\nremote {vpn['DnsName'].removeprefix('*.')} {vpn['VpnPort']}\n" in profile,
            f"\nproto {vpn['TransportProtocol']}\n" in profile,
            f"\nverify-x509-name {name.value!s} name\n" in profile,
            ("\npersist-tun\n" in profile) == vpn["SplitTunnel"],
            topic in document or '"iot:*"' in document,
            bundle["network"]["vpcEndpointId"] in document,
        )
    )


def test_every_setting_is_looked_at() -> None:
    noticed = {key for key, effect in EFFECTS.items() if effect is not InstalledDevices.NOTICE_NOTHING}
    assert noticed - REFUSED == set(ONE_BY_ONE)
    assert {key for changes in TOGETHER for key in changes} == set(program.KINDS) - noticed - REFUSED


@pytest.mark.parametrize("setting", ONE_BY_ONE)
def test_a_setting_that_devices_know_changes_their_bundle_and_the_preview_warns_if_the_old_one_is_wrong(
    stack: Stack, cloud: Cloud, setting: str
) -> None:
    before = bundle_of(stack)
    assert fits(before, cloud)
    stack.configure(**{setting: ONE_BY_ONE[setting]})
    preview = stack.preview()
    stack.up()
    after = bundle_of(stack)
    assert after != before
    if setting != "rootCaPem":
        assert fits(after, cloud)
    needed = EFFECTS[setting] is InstalledDevices.NEED_BUNDLE
    assert fits(before, cloud) is not needed
    assert ("the installed devices need their new bundle" in preview.text) is needed


def test_of_the_other_settings_devices_notice_nothing(stack: Stack, cloud: Cloud) -> None:
    stack.configure(credentialsEndpoint=True, fleetBatches=["spring"])
    stack.up()
    before = bundle_of(stack)
    for changes in TOGETHER:
        stack.configure(**changes)
        assert "need their new bundle" not in stack.preview().text
        stack.up()
        assert bundle_of(stack) == before
    # The banner goes as it came: the provider keeps one that the program merely stops to mention.
    stack.configure(loginBanner="")
    stack.up()
    [vpn] = cloud.client("ec2").describe_client_vpn_endpoints()["ClientVpnEndpoints"]
    assert not vpn["ClientLoginBannerOptions"]["Enabled"]
