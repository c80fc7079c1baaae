"""A new table under living connections.

What this cannot prove: how long AWS IoT takes for it (minutes); here it is at once.
"""

import copy
import signal

import pytest

from lab.path.gateway import packets
from lab.path.gateway.packets import V5, V311, Connect
from tests.path.gateway.authority import Credential
from tests.path.gateway.raw_client import RawClient, publish
from tests.path.gateway.stack import Stack, least_privilege, loopback_address, wait_for

pytestmark = pytest.mark.path

ACCEPTED = (b"", b"\x10")
"""Success, and success without a subscriber."""


def opened(stack: Stack, credential: Credential, level: int = V5, client_id: str = "pi-1") -> RawClient:
    client = RawClient(stack, stack.endpoint, credential)
    assert client.open(Connect(level, client_id, clean=True, keep_alive=60))[1] == 0
    return client


def alive(client: RawClient) -> bool:
    client.send(packets.packet(packets.PINGREQ, 0, b""))
    return client.expect(packets.PINGRESP) == b"\xd0\x00"


def test_connections_stand_when_nothing_of_theirs_changed(stack: Stack) -> None:
    credential = stack.device("least-privilege", thing="pi-1")
    stack.reload()
    with opened(stack, credential) as client:
        stack.device("open")
        stack.reload()
        assert alive(client)


@pytest.mark.parametrize("level", [V311, V5])
@pytest.mark.parametrize("change", ["inactive", "deleted", "policy detached", "thing detached", "another endpoint"])
def test_a_connection_that_could_not_be_made_any_more_ends(stack: Stack, level: int, change: str) -> None:
    credential = stack.device("least-privilege", thing="pi-1")
    stack.reload()
    entry = stack.certificates[credential.certificate_id]
    policy = copy.deepcopy(stack.policies["least-privilege"])
    with opened(stack, credential, level) as client:
        if change == "inactive":
            entry["status"] = "INACTIVE"
        elif change == "deleted":
            del stack.certificates[credential.certificate_id]
        elif change == "policy detached":
            entry["policies"] = []
        elif change == "thing detached":
            entry["things"] = []
        else:
            for statement in stack.policies["least-privilege"]["Statement"]:
                statement["Condition"]["StringEquals"] = {"aws:SourceVpce": "vpce-another"}
        stack.reload()
        stack.policies["least-privilege"] = policy
        if level == V5:
            assert client.expect(packets.DISCONNECT) == b"\xe0\x01\x87"
        assert client.closed()


def test_the_next_publish_is_judged_by_the_new_policy(stack: Stack) -> None:
    stack.policies["changing"] = least_privilege("before")
    credential = stack.device("changing", thing="pi-1")
    stack.reload()
    with opened(stack, credential) as client:
        client.send(publish("before/pi-1/a", level=V5))
        assert client.expect(packets.PUBACK)[4:] in ACCEPTED
        stack.policies["changing"] = least_privilege("after")
        stack.reload()
        client.send(publish("before/pi-1/a", level=V5))
        assert client.expect(packets.PUBACK)[4] == 0x87
        client.send(publish("after/pi-1/a", level=V5))
        assert client.expect(packets.PUBACK)[4:] in ACCEPTED


def test_a_table_that_cannot_be_used_changes_nothing(stack: Stack) -> None:
    credential = stack.device("least-privilege", thing="pi-1")
    stack.reload()
    with opened(stack, credential) as client:
        stack.table_file.write_text("{")
        assert stack.gateway_process is not None
        stack.gateway_process.send_signal(signal.SIGHUP)
        wait_for(lambda: any("table.json" in item["reason"] for item in stack.events("reload-failed")), "refusal")
        assert alive(client)
    stack.reload()


def test_listeners_come_and_go_with_the_table(stack: Stack) -> None:
    credential = stack.device("open")
    stack.reload()
    public = stack.public
    with RawClient(stack, public, credential) as client:
        assert client.open(Connect(V5, "mover", clean=True, keep_alive=60))[1] == 0
        stack.public = loopback_address()
        stack.reload()
        assert client.expect(packets.DISCONNECT) == b"\xe0\x01\x98"
        assert client.closed()
    with pytest.raises(ConnectionRefusedError):
        RawClient(stack, public, credential)
    with RawClient(stack, stack.public, credential) as client:
        assert client.open(Connect(V5, "mover", clean=True, keep_alive=60))[1] == 0
    stack.public = public
    stack.reload()


def test_an_address_that_is_not_here_leaves_the_listeners_as_they_were(stack: Stack) -> None:
    credential = stack.device("open")
    stack.reload()
    public, stack.public = stack.public, "192.0.2.1"
    stack.write_table()
    assert stack.gateway_process is not None
    stack.gateway_process.send_signal(signal.SIGHUP)
    wait_for(
        lambda: stack.events("reload-failed")[-1:] and "192.0.2.1" in stack.events("reload-failed")[-1]["reason"],
        "refusal",
    )
    stack.public = public
    with RawClient(stack, public, credential) as client:
        assert client.open(Connect(V5, "stayer", clean=True, keep_alive=60))[1] == 0
    stack.reload()
