"""A base stack and stacks of devices on its endpoint, together: what each makes, and what the base revokes for them.

Cannot prove what Client VPN makes of the certificates; the path tests connect with those of one stack, signed alike.
"""

import pytest
from cryptography import x509

from tests.engine.aws import Cloud
from tests.engine.conftest import StackFactory
from tests.engine.device_stacks import BASE, OF_A_DEVICE, base_stack, beside, serial

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


def test_a_base_stack_and_two_stacks_of_devices(new_stack: StackFactory, own_cloud: Cloud) -> None:
    empty = own_cloud.inventory()
    base = base_stack(new_stack, own_cloud, [], "east", "west")
    east = beside(base, "east", baseStack=BASE, devices=["pi-1", "pi-2"])
    west = beside(base, "west", baseStack=BASE, devices=["pi-3"])
    base.up()
    for stack, count in ((east, 2), (west, 1)):
        assert stack.up().counts("create") == {kind: number * count for kind, number in OF_A_DEVICE.items()}
    # The register takes down what the device stacks issued; nothing is revoked, and the list stays empty.
    assert base.up().names("update") == {"private-iot-certificate-register"}
    assert base.outputs()["revokedSerialNumbers"] == []
    bundles = {**east.outputs(show_secrets=True)["devices"], **west.outputs(show_secrets=True)["devices"]}
    known = base.outputs(show_secrets=True)
    for name, bundle in bundles.items():
        assert bundle["iot"]["endpoint"] == known["iotEndpoint"]
        assert bundle["network"]["vpcEndpointId"] == known["vpcEndpointId"]
        assert bundle["topicPrefix"] == f"base/{name}"
        assert f"remote {known['clientVpnEndpointId']}.prod" in bundle["vpn"]["config"]
    authority = x509.load_pem_x509_certificate(known["forDeviceStacks"]["authority"]["certificatePem"].encode())
    pem = bundles["pi-3"]["vpn"]["config"].split("<cert>\n")[1].split("</cert>")[0]
    x509.load_pem_x509_certificate(pem.encode()).verify_directly_issued_by(authority)
    for stack in (base, east, west):
        stack.preview("--expect-no-changes")
        assert known["forDeviceStacks"]["authority"]["privateKeyPem"] not in str(stack.export())

    # The thing of a device is its stack's: another stack does not take it over.
    west.configure(devices=["pi-3", "pi-1"])
    assert "ResourceAlreadyExists" in west.up(fails=True).diagnostics()
    west.configure(devices=["pi-3"])
    west.up()

    # Removed there, locked out there: the base revokes it at its next run.
    removed, locked_out = serial(east, "pi-2"), serial(west, "pi-3")
    east.configure(devices=["pi-1"])
    west.configure(revoked=["pi-3"])
    east.up()
    west.up()
    assert base.outputs()["revokedSerialNumbers"] == []
    base.up()
    assert base.outputs()["revokedSerialNumbers"] == sorted([removed, locked_out])
    west.configure(revoked=[])
    west.up()
    base.up()
    assert base.outputs()["revokedSerialNumbers"] == [removed]

    # A run that fails leaves its outputs out: what it said before counts.
    west.configure(devices=["no name"])
    west.up(fails=True)
    base.up()
    assert base.outputs()["revokedSerialNumbers"] == [removed]
    west.configure(devices=["pi-3"])
    west.up()

    for stack in (east, west):
        stack.destroy()
    base.destroy()
    assert own_cloud.inventory() == empty
